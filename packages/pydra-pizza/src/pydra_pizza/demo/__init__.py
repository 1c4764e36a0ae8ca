"""The manifests `pydra demo` applies, in the order of their names; they work on a real cluster as well."""
