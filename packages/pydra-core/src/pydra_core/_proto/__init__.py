"""The kubelet's gRPC messages, generated from `protos/` and committed.

Generated here once because a process can load each message name only once, whatever file it comes
from; sockets, registration, health and the testbed's kubelet import these modules and no others.
There are no service stubs: services are registered by name with generic handlers, which frees us
from the generator's minimum grpcio. Regenerate with `make protos`.
"""
