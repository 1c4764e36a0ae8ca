"""The kubelet's pod-resources API in a test's hands: which pods there are, and what each has of extended resources."""

from __future__ import annotations

from contextlib import asynccontextmanager

import grpc

from pydra_core._proto import podresources_v1_pb2 as pb


class Pods:
    """What List answers: device IDs by resource, by pod."""

    def __init__(self):
        self.held = {"bystander": {}}

    def answer(self):
        return pb.ListPodResourcesResponse(pod_resources=[_pod(*pod) for pod in self.held.items()])


def _pod(name, amounts):
    devices = [pb.ContainerDevices(resource_name=r, device_ids=ids) for r, ids in amounts.items()]
    container = pb.ContainerResources(name="main", devices=devices)
    return pb.PodResources(namespace="default", name=name, containers=[container])


@asynccontextmanager
async def listed(socket):
    """Answer at this path; the pods can be changed meanwhile."""
    pods = Pods()

    async def answer(_request, _context):
        return pods.answer()

    socket.parent.mkdir(parents=True, exist_ok=True)
    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(
        answer, response_serializer=pb.ListPodResourcesResponse.SerializeToString
    )
    handlers = grpc.method_handlers_generic_handler("v1.PodResourcesLister", {"List": method})
    server.add_generic_rpc_handlers((handlers,))
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    try:
        yield pods
    finally:
        await server.stop(None)
