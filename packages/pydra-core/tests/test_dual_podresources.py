"""The kubelet's pod-resources API, asked over its socket: whole answers, huge ones, and kubelets that do not answer."""

import asyncio
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from pydra_core._legacy import podresources
from pydra_core._legacy.podresources import PodResources
from pydra_core._proto import podresources_v1_pb2 as pb
from pydra_core.errors import HostError

CARD = "acme.example/card"


@pytest.fixture
def path():
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        yield Path(folder) / "kubelet.sock"


def pod(name, **containers):
    return pb.PodResources(
        namespace="default",
        name=name,
        containers=[
            pb.ContainerResources(
                name=container,
                devices=[pb.ContainerDevices(resource_name=CARD, device_ids=[i]) for i in ids],
            )
            for container, ids in containers.items()
        ],
    )


@asynccontextmanager
async def kubelet(path, answer):
    """Answer List: with pods, with an error code, or never."""

    async def listed(request, context):
        del request
        if isinstance(answer, grpc.StatusCode):
            await context.abort(answer, "rejected by rate limit")
        if answer is None:
            await asyncio.Event().wait()
        return answer if isinstance(answer, bytes) else answer.SerializeToString()

    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(listed)
    handlers = grpc.method_handlers_generic_handler("v1.PodResourcesLister", {"List": method})
    server.add_generic_rpc_handlers((handlers,))
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(None)


async def test_pods_are_told_with_what_each_of_their_containers_has(path):
    listed = pb.ListPodResourcesResponse(
        pod_resources=[pod("a", one=["card-0", "card-1"], two=["card-2"]), pod("b", one=[])]
    )
    async with kubelet(path, listed):
        listing = await PodResources(path).list()
    assert listing.pods == {("default", "a"), ("default", "b")}
    assert listing.held == {(CARD, f"card-{n}"): "default/a" for n in range(3)}


async def test_an_answer_larger_than_grpc_allows_by_itself_is_taken(path):
    names = [f"card-{n:055}" for n in range(100_000)]
    listed = pb.ListPodResourcesResponse(pod_resources=[pod("a", one=names)])
    assert listed.ByteSize() > 4 << 20
    async with kubelet(path, listed):
        assert len((await PodResources(path).list()).held) == len(names)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "rejected by rate limit"),
        (None, "Deadline Exceeded"),
        (b"\xff\xff", "cannot be read"),
    ],
)
async def test_a_kubelet_that_does_not_tell_is_an_error_that_says_why(
    path, answer, why, monkeypatch
):
    monkeypatch.setattr(podresources, "DEADLINE", 0.1)
    async with kubelet(path, answer):
        with pytest.raises(HostError, match=f"pod-resources socket {path}: .*{why}"):
            await PodResources(path).list()


async def test_a_socket_that_comes_and_goes_with_the_kubelet_is_found_again(path):
    asked = PodResources(path)
    with pytest.raises(HostError, match="mount the kubelet's pod-resources directory"):
        await asked.list()
    for name in ("a", "b"):
        listed = pb.ListPodResourcesResponse(pod_resources=[pod(name, one=[])])
        async with kubelet(path, listed):
            assert (await asked.list()).pods == {("default", name)}
        with pytest.raises(HostError):
            await asked.list()


async def test_a_kubelet_that_was_away_is_asked_at_once_when_it_is_there_again(path):
    """gRPC lets questions to one address share a connection, and with it the pause after one that failed."""
    asked = PodResources(path)
    failed = await asyncio.gather(asked.list(), asked.list(), return_exceptions=True)
    assert [type(err) for err in failed] == [HostError, HostError]
    async with kubelet(path, pb.ListPodResourcesResponse(pod_resources=[pod("a")])):
        assert (await asked.list()).pods == {("default", "a")}
