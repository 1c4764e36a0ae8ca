"""`pydra demo`: a driver's own manifests on a testbed of one node, told as it happens."""
