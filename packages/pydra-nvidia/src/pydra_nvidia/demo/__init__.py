"""What `pydra demo --driver nvidia` applies, file by file in the order of their names; for admins' clusters as well."""
