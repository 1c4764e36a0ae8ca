"""`pydra unstick`: pods that hang in Terminating because their driver was uninstalled."""
