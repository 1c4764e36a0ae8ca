"""What can go wrong on purpose, and how the kubelet and its drivers come out of it."""

import asyncio

import grpc

from pydra_testbed.clock import RealClock
from pydra_testbed.kubelet.calls import ignore_call
from pydra_testbed.kubelet.faults import KubeletFaults
from pydra_testbed.kubelet.link import DriverLink
from pydra_testbed.objects import ObjectRef
from pydra_testbed.runtime.waiting import cancel_all

PREPARE, UNPREPARE = "NodePrepareResources", "NodeUnprepareResources"


def dra_calls(driver):
    return [heard.method for heard in driver.log if heard.method in {PREPARE, UNPREPARE}]


async def test_a_call_held_back_reaches_the_driver_with_less_time_left(stepped):
    await stepped.start()
    driver = await stepped.driver()
    stepped.define("c")
    stepped.faults.delay(PREPARE, 40)
    await stepped.claiming_pod("p", "c")
    await stepped.clock.asked(40)
    assert dra_calls(driver) == []
    await stepped.clock.advance(40)
    heard = await driver.next(PREPARE)
    assert 4 < heard.deadline <= 5
    await stepped.until_phase("Running")


async def test_a_call_held_back_beyond_its_deadline_never_reaches_the_driver(stepped):
    await stepped.start()
    driver = await stepped.driver()
    stepped.faults.delay(PREPARE, 45)
    await stepped.claiming_pod("p", "c")
    await stepped.clock.asked(45)
    await stepped.clock.advance(45)
    assert "code = DeadlineExceeded" in await stepped.event("FailedPrepareDynamicResources")
    assert dra_calls(driver) == []


async def test_a_call_given_up_is_an_error_for_the_kubelet_and_a_cancellation_for_the_driver(
    stepped,
):
    await stepped.start()
    driver = await stepped.driver()
    stepped.define("c")
    go_on = driver.hold(PREPARE)
    stepped.faults.cancel(PREPARE, 7)
    await stepped.claiming_pod("p", "c")
    await driver.next(PREPARE)
    await stepped.clock.asked(7)
    await stepped.clock.advance(7)
    words = await stepped.event("FailedPrepareDynamicResources")
    assert "rpc error: code = Canceled desc = context canceled" in words
    go_on.set()
    await stepped.annotate("p")
    await stepped.until_phase("Running")
    assert dra_calls(driver) == [PREPARE, PREPARE]


async def test_a_prepare_sent_twice_is_one_prepared_claim(node):
    await node.start()
    driver = await node.driver()
    node.define("c")
    node.faults.repeat(PREPARE)
    await node.claiming_pod("p", "c")
    await node.until_phase("Running")
    assert dra_calls(driver) == [PREPARE, PREPARE]
    assert driver.log[-1].raw == driver.log[-2].raw
    (state,) = [entry["DriverState"][driver.name] for entry in node.claims()]
    assert len(state["Devices"]) == 1


async def test_a_dropped_connection_is_opened_again_and_its_calls_fail(node):
    await node.start()
    driver = await node.connected_driver()
    node.define("c")
    go_on = driver.hold(PREPARE)
    await node.claiming_pod("p", "c")
    await driver.next(PREPARE)
    await node.faults.drop_connections(driver.name)
    await node.journal.saw("driver disconnected")
    assert "code = Canceled" in await node.event("FailedPrepareDynamicResources")
    await node.journal.saw("driver connected")
    go_on.set()
    await node.annotate("p")
    await node.until_phase("Running")


async def test_a_connection_that_drops_for_a_moment_wipes_nothing(stepped):
    await stepped.start()
    driver = await stepped.connected_driver()
    await publish(stepped)
    stepped.clock.forget(30)
    await stepped.faults.drop_connections()
    await stepped.journal.saw("driver disconnected")
    await stepped.journal.saw("driver connected")
    await stepped.clock.advance(60)
    assert len((await stepped.api.list("resourceslices")).items) == 1
    assert driver.name == "card.example.com"


async def test_a_connection_that_is_cut_before_anybody_waits_on_it_is_followed_on(tmp_path):
    told, server = [], grpc.aio.server()
    server.add_insecure_port(f"unix:{tmp_path / 's'}")
    await server.start()
    link = DriverLink(str(tmp_path / "s"), RealClock(), ignore_call, KubeletFaults())
    following = asyncio.ensure_future(link.follow(told.append))
    for _ in range(3):  # between its look at the channel and its wait, which is a task of its own
        await asyncio.sleep(0)
        await link.drop()
    while not told:
        assert not following.done() or following.result()
        await asyncio.sleep(0)
    assert told == [True]
    await cancel_all(following)
    await link.close()
    await server.stop(None)


async def test_slices_can_be_wiped_at_any_time(node):
    await node.start()
    await node.connected_driver()
    await node.journal.saw("slices wiped")
    await publish(node)
    await node.faults.wipe_slices("another.example.com")
    assert len((await node.api.list("resourceslices")).items) == 1
    await node.faults.wipe_slices()
    assert (await node.api.list("resourceslices")).items == ()


async def publish(node):
    pool = {"name": "node-a", "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": "card.example.com", "nodeName": "node-a", "pool": pool}
    spec["devices"] = [{"name": "dev-0"}]
    body = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "spec": spec}
    await node.api.create("resourceslices", {**body, "metadata": {"name": "s"}})


async def test_without_space_for_the_claims_file_the_prepare_fails_and_is_tried_again(stepped):
    await stepped.start()
    driver = await stepped.driver()
    stepped.define("c")
    stepped.faults.fill_disk()
    await stepped.claiming_pod("p", "c")
    words = await stepped.event("FailedPrepareDynamicResources")
    assert "checkpoint ResourceClaim cache: [Errno 28] No space left on device" in words
    assert dra_calls(driver) == []
    await stepped.clock.advance(await stepped.clock.asked(60.01, 90))
    await stepped.until_phase("Running")


async def test_without_space_after_the_unprepare_the_next_kubelet_unprepares_once_more(stepped):
    await stepped.start()
    driver = await stepped.driver()
    stepped.define("c")
    await stepped.claiming_pod("p", "c", command=("sh", "-c", "exec sleep 1000"))
    await stepped.until_phase("Running")
    stepped.faults.fill_disk()
    await stepped.delete("p")
    await stepped.clock.advance(await stepped.clock.asked(10.01, 15))
    await stepped.until_gone("pods", "p")
    assert dra_calls(driver) == [PREPARE, UNPREPARE]
    await stepped.stop()
    stepped.clock.forget(60.0)
    await stepped.start()
    await stepped.journal.saw("driver connected")
    await stepped.clock.asked(60.0)
    await stepped.clock.advance(60)
    await stepped.journal.saw("claims of a vanished pod unprepared")
    assert dra_calls(driver) == [PREPARE, UNPREPARE, UNPREPARE]
    assert stepped.claims() == []


async def test_a_claim_replaced_under_a_force_deleted_pod_waits_for_the_old_one_s_unprepare(node):
    await node.start()
    driver = await node.driver()
    node.define("c")
    await node.claiming_pod("p", "c")
    await node.until_phase("Running")
    old = node.claims()[0]["ClaimUID"]
    driver.fail(UNPREPARE, grpc.StatusCode.UNAVAILABLE)
    await node.delete("p", grace=0)
    await driver.next(UNPREPARE)
    await node.drop_claim("c")
    await node.claiming_pod("q", "c")
    assert old in await node.event("FailedPrepareDynamicResources")


async def test_a_wrong_wall_clock_changes_no_deadline_and_no_period(stepped):
    await stepped.start()
    driver = await stepped.driver()
    stepped.define("c")
    driver.fail_claims(PREPARE, "not yet")
    await stepped.claiming_pod("p", "c")
    await driver.next(PREPARE)
    pause = await stepped.clock.asked(60.01, 90)
    stepped.clock.jump(-3600)
    await stepped.clock.advance(pause - 1)
    assert dra_calls(driver) == [PREPARE]
    await stepped.clock.advance(1)
    pod = await stepped.until_phase("Running")
    assert pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"] < "2026"


async def test_an_answer_above_4_mib_fails_the_call(node):
    await node.start()
    driver = await node.driver()

    def huge(heard):
        answer = driver.prepare(heard)
        for result in answer.claims.values():
            result.devices[0].cdi_device_ids.append("x" * (4 * 1024 * 1024))
        return answer

    driver.fail(PREPARE, huge)
    await node.claiming_pod("p", "c")
    words = await node.event("FailedPrepareDynamicResources")
    assert "code = ResourceExhausted" in words
    assert "4194304" in words


async def test_a_socket_that_nobody_serves_any_more_is_an_error_at_once_and_heals(node):
    await node.start()
    driver = await node.connected_driver()
    node.define("c")
    await driver.stop(driver.endpoint)
    await node.journal.saw("driver disconnected")
    await node.claiming_pod("p", "c")
    assert "code = Unavailable" in await node.event("FailedPrepareDynamicResources")
    await driver.serve(driver.endpoint, driver.all_services())
    await node.journal.saw("driver connected")
    await node.annotate("p")
    await node.until_phase("Running")


async def test_errors_of_the_api_server_fail_a_prepare_in_its_words_and_heal(node):
    await node.start()
    driver = await node.driver()
    node.define("c")
    pod = await node.pod("p", claims=["c"], bound=False)
    await node.claim("c")
    await node.reserve("c", pod)
    for code in (409, 410, 429, 500):
        node.server.faults.fail("get", "resourceclaims", code, message=f"answer {code}")
    await node.bind("p")
    for code in (409, 410, 429, 500):
        await seen_event(node, f"fetch ResourceClaim c: answer {code}")
        await node.annotate("p", str(code))
    await node.until_phase("Running")
    assert dra_calls(driver) == [PREPARE]


async def seen_event(node, words):
    async for event in node.api.watch("events"):
        if words in event.object.get("message", ""):
            return
    raise AssertionError(words)


async def test_a_pod_object_that_is_gone_leaves_no_claim_behind_after_a_restart_in_between(stepped):
    """Force-deleted while the kubelet was down and the driver away: unprepared once both are back."""
    await stepped.start()
    driver = await stepped.connected_driver()
    stepped.define("c")
    await stepped.claiming_pod("p", "c")
    await stepped.until_phase("Running")
    await stepped.stop()
    await driver.stop()
    await stepped.api.delete(ObjectRef("pods", "p", "default"), 0)
    stepped.clock.forget(60.0)
    await stepped.start()
    await stepped.clock.asked(60.0)
    await stepped.clock.advance(60)
    await stepped.journal.saw("claims of a vanished pod not unprepared, trying again")
    await driver.start()
    await stepped.look()
    await stepped.registered(driver)
    await stepped.clock.asked(60.0)
    await stepped.clock.advance(60)
    assert (await driver.next(UNPREPARE)).names == ["c"]


class Garbage:
    """Bytes that are no message at all, for whom a message is expected."""

    @staticmethod
    def SerializeToString():  # noqa: N802 - as protobuf calls it
        return b"\xff\xff"


async def test_bytes_that_are_no_answer_fail_the_call_and_nothing_else(node):
    await node.start()
    driver = await node.connected_driver()
    node.define("c")
    driver.fail(PREPARE, lambda _heard: Garbage)
    driver.reports.put_nowait(Garbage)
    await node.claiming_pod("p", "c")
    words = await node.event("FailedPrepareDynamicResources")
    assert "code = Internal desc = grpc: failed to unmarshal the received message" in words
    await node.journal.saw("health stream not open")
    await node.annotate("p")
    await node.until_phase("Running")
