"""Is the testbed honest? Recordings of real Kubernetes are played to its parts and the answers compared.

`pydra testbed fidelity` is the caller. One module for each file of recordings knows how to play its records;
`model` holds what they share. The engines see a record's inputs only.
"""
