"""`new`: the four files of a driver that runs on the testbed at once."""
