"""The rules of `pydra_cdi.lint`, one room for each kind of question."""
