"""`pydra top`: who has which device of this node."""
