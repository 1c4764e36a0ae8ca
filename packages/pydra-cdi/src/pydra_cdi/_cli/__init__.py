"""The sub-commands of `pydra-cdi`, and what they share; `pydra_cdi.cli` puts them together."""
