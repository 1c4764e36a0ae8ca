"""The kubelet's side of a driver: sockets, registration, the claim path, and the life of the process."""
