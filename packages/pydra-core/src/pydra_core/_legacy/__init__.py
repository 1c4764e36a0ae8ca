"""Legacy mode: the same driver for pods that ask for extended resources (device plugin API), beside or instead of DRA."""
