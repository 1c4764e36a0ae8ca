"""The sub-commands core brings; each module is one."""
