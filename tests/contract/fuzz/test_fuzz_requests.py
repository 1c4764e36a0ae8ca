from __future__ import annotations

import asyncio
import re

import grpc
import pytest
from dialling import dial
from driver_world import DRIVER, Claim
from google.protobuf.message import DecodeError
from hostile_strategies import bounded, damaged_bytes, texts
from hypothesis import event, given
from hypothesis import strategies as st
from probe_world import send

from pydra_core._proto import dra_v1_pb2, dra_v1beta1_pb2
from pydra_core._proto import pluginregistration_v1_pb2 as registration

# Only when an example fails: it is then shown with its 10 KiB names.
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

DEADLINE = 20
CLAIM_PATH = re.compile(
    r"/apis/resource\.k8s\.io/v1/namespaces/[a-z0-9-]+/resourceclaims/[a-z0-9.-]*[a-z0-9]"
)
VERSIONS = (dra_v1_pb2, dra_v1beta1_pb2)
VERBS = ("Prepare", "Unprepare")


def request_of(api, verb, *claims):
    message = getattr(api, f"Node{verb}ResourcesRequest")
    return message(claims=[api.Claim(namespace=n, uid=u, name=m) for n, u, m in claims])


def answer_of(api, verb):
    return getattr(api, f"Node{verb}ResourcesResponse")


def path_of(api, verb):
    return f"/{api.DESCRIPTOR.services_by_name['DRAPlugin'].full_name}/Node{verb}Resources"


ordinary = st.tuples(
    st.sampled_from(("default", "team-a")),
    st.uuids(version=4).map(str),
    st.sampled_from(("claim", "pod-claim-x2b7q")),
)
hostile_claims = st.lists(st.tuples(texts, texts, texts) | ordinary, max_size=4)
wire = st.one_of(
    st.binary(max_size=300),
    st.lists(ordinary, max_size=3).flatmap(
        lambda claims: damaged_bytes(request_of(dra_v1_pb2, "Prepare", *claims).SerializeToString())
    ),
    hostile_claims.map(lambda c: request_of(dra_v1_pb2, "Prepare", *c).SerializeToString()),
)


@pytest.fixture
async def served(hostile):
    """A driver with one claim prepared, which no hostile call may touch."""
    driver = await hostile.start()
    kept = hostile.plant("card-0")
    hostile.kept = (kept, await driver.prepare(kept), hostile.spec_files())
    hostile.driver = driver
    return hostile


async def assert_untouched(world, files):
    """What was prepared is, and a claim sent now is prepared and undone; no file but ours has changed."""
    kept, answer, specs = world.kept
    fresh = world.plant("card-1")
    again = await world.driver.prepare(kept, fresh)
    assert again.claims[kept.uid] == answer.claims[kept.uid]
    assert again.claims[fresh.uid].error == ""
    assert (await world.driver.unprepare(fresh)).claims[fresh.uid].error == ""
    assert world.spec_files() == specs
    assert world.others_files() == files
    assert world.driver.process.returncode is None
    assert not [p for p in world.hostile.paths if not CLAIM_PATH.fullmatch(p)]


async def call(path, method, content):
    """The answer's bytes; None when the server says that it cannot decode the request."""
    async with dial(path) as channel:
        try:
            return await send(channel, method, content, DEADLINE)
        except grpc.aio.AioRpcError as err:
            if err.code() != grpc.StatusCode.INVALID_ARGUMENT:
                raise
            return None


@given(content=wire, api=st.sampled_from(VERSIONS), verb=st.sampled_from(VERBS))
@bounded(300)
async def test_every_decodable_call_is_answered_claim_by_claim_and_no_other_is(
    served, content, api, verb
):
    files = served.others_files()
    answer = await call(served.dra_socket, path_of(api, verb), content)
    try:
        asked = request_of(api, verb).FromString(content)
    except DecodeError:
        event("undecodable")
        assert answer is None
    else:
        event(f"{verb}: {len(asked.claims)} claims")
        given_back = answer_of(api, verb).FromString(answer)
        assert set(given_back.claims) == {c.uid for c in asked.claims}
        for uid, one in given_back.claims.items():
            assert one.error or verb == "Unprepare", "a claim nobody made was prepared"
            assert len(one.error) < 1100
            assert "\n" not in one.error
            assert not one.error or "claim " in one.error, uid
    await assert_untouched(served, files)
    assert "Traceback" not in served.driver.logged()


@given(
    content=st.binary(max_size=100), method=st.sampled_from(("GetInfo", "NotifyRegistrationStatus"))
)
@bounded(40)
async def test_whatever_is_said_at_registration_the_driver_can_be_registered(
    served, content, method
):
    await call(served.registration_socket, f"/pluginregistration.Registration/{method}", content)
    info = await served.driver.registered()
    assert info.name == DRIVER
    assert "Traceback" not in served.driver.logged()


async def test_a_request_over_the_limit_of_grpc_is_refused_and_the_next_served(served):
    files = served.others_files()
    claims = [("default", "x" * 60_000, str(n)) for n in range(80)]
    request = request_of(dra_v1_pb2, "Prepare", *claims).SerializeToString()
    async with dial(served.dra_socket) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await send(channel, path_of(dra_v1_pb2, "Prepare"), request, DEADLINE)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    await assert_untouched(served, files)


async def test_one_claim_asked_for_twice_under_two_names_is_answered_once(served):
    claim = served.plant("card-2")
    twice = [claim, Claim("another-name", claim.uid)]
    answer = await served.driver.prepare(*twice)
    assert list(answer.claims) == [claim.uid]


async def test_a_refusal_of_the_kubelet_may_say_anything(served):
    status = registration.RegistrationStatus(
        error="no\r\n2026-01-01T00:00:00Z ERROR forged: line\0\x1b[2J" * 100
    )
    method = "/pluginregistration.Registration/NotifyRegistrationStatus"
    assert await call(served.registration_socket, method, status.SerializeToString()) == b""
    await served.driver.says("the kubelet refused the registration")
    assert max(map(len, served.driver.logged().splitlines())) < 5000


async def test_a_caller_that_leaves_at_any_moment_leaves_nothing_behind(served):
    files = served.others_files()
    method, info = path_of(dra_v1_pb2, "Prepare"), "/pluginregistration.Registration/GetInfo"
    async with dial(served.dra_socket) as channel, dial(served.registration_socket) as other:
        for moment in range(60):
            claim = served.plant("card-2")
            request = request_of(dra_v1_pb2, "Prepare", ("default", claim.uid, claim.name))
            calling = asyncio.ensure_future(
                send(channel, method, request.SerializeToString(), DEADLINE)
            )
            for _ in range(moment % 10):  # each a moment later: a call that takes its time
                await send(other, info, b"", DEADLINE)
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)
            assert (await served.driver.unprepare(claim)).claims[claim.uid].error == ""
    await assert_untouched(served, files)
    assert "Traceback" not in served.driver.logged()
