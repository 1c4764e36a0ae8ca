"""How tests connect to a socket: as a kubelet does, by a connection that nobody else has."""

import grpc


def dial(path):
    """A channel to a Unix socket.

    gRPC lends a channel the connection of another to the same path, also when the server behind that one was killed a
    moment ago: a call that is made then fails, though a new server listens and the call would wait for it.
    """
    return grpc.aio.insecure_channel(
        f"unix:{path}", options=(("grpc.use_local_subchannel_pool", 1),)
    )
