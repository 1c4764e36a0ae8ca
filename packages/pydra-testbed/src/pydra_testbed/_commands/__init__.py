"""The sub-commands the testbed brings to `pydra`; each module is one."""
