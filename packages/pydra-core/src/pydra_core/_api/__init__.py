"""The few API calls a node driver makes: read claims and its node, keep its slices."""
