"""Claims let go of when the last pod is done, whatever stands in the way."""

import grpc
import pytest

PREPARE_THEN_UNPREPARE = ["NodePrepareResources", "NodeUnprepareResources"]


def dra_calls(driver):
    return [h.method for h in driver.log if h.method in PREPARE_THEN_UNPREPARE]


async def test_a_deleted_pod_s_claims_are_unprepared_before_it_is_gone(node):
    await node.start()
    driver = await node.driver()
    node.define("a", "b")
    await node.claiming_pod("p", "a", "b")
    await node.until_phase("Running")
    await node.delete("p")
    await node.until_gone("pods", "p")
    heard = await driver.next("NodeUnprepareResources")
    assert heard.names == ["a", "b"]
    assert 44 < heard.deadline <= 45


async def test_a_pod_is_not_finished_before_its_claims_are_unprepared(stepped):
    await stepped.start()
    driver = await stepped.driver()
    stepped.define("c")
    driver.fail_claims("NodeUnprepareResources", "still busy", times=2)
    await stepped.claiming_pod("p", "c", command=("true",), restartPolicy="Never")
    await driver.next("NodeUnprepareResources")
    for _ in range(2):
        pause = await stepped.clock.asked(10.01, 15)
        pod = await stepped.api.get("pods", "p", "default")
        assert pod["status"]["phase"] == "Running"
        await stepped.clock.advance(pause)
        await driver.next("NodeUnprepareResources")
    await stepped.until_phase("Succeeded")


@pytest.mark.parametrize("failure", ["claim", "rpc", "skip"])
async def test_a_failed_unprepare_keeps_the_pod_terminating(stepped, failure):
    await stepped.start()
    driver = await stepped.driver()
    stepped.define("c")
    if failure == "claim":
        driver.fail_claims("NodeUnprepareResources", "still busy")
    elif failure == "rpc":
        driver.fail("NodeUnprepareResources", grpc.StatusCode.UNAVAILABLE)
    else:
        driver.fail("NodeUnprepareResources", lambda h: type(driver.unprepare(h))())
    await stepped.claiming_pod("p", "c", command=("sh", "-c", "exec sleep 1000"))
    await stepped.until_phase("Running")
    await stepped.delete("p")
    pause = await stepped.clock.asked(10.01, 15)
    pod = await stepped.api.get("pods", "p", "default")
    assert pod["metadata"]["deletionTimestamp"]
    await stepped.clock.advance(pause)
    await stepped.until_gone("pods", "p")
    assert dra_calls(driver)[-2:] == ["NodeUnprepareResources"] * 2


async def test_a_claim_whose_unprepare_failed_is_prepared_again_for_the_next_pod(node):
    await node.start()
    driver = await node.driver()
    driver.fail_claims("NodeUnprepareResources", "still busy")
    node.define("c")
    await node.claiming_pod("p", "c", command=("sh", "-c", "exec sleep 1000"))
    await node.until_phase("Running")
    await node.delete("p")
    await driver.next("NodeUnprepareResources")
    await node.claiming_pod("q", "c")
    await node.until_phase("Running", "q")
    assert dra_calls(driver).count("NodePrepareResources") == 2


async def test_a_claim_whose_prepare_failed_is_unprepared_too(node):
    await node.start()
    driver = await node.driver()
    driver.fail_claims("NodePrepareResources", "no card left")
    await node.claiming_pod("p", "c")
    await node.event("FailedPrepareDynamicResources")
    await node.delete("p")
    await node.until_gone("pods", "p")
    assert dra_calls(driver) == PREPARE_THEN_UNPREPARE


async def test_a_pod_whose_claims_were_refused_by_the_checks_needs_no_driver_to_go(node):
    await node.start()
    await node.claiming_pod("p", "c")
    await node.event("FailedPrepareDynamicResources")
    await node.delete("p")
    await node.until_gone("pods", "p")


async def test_a_delete_during_prepare_cancels_the_call_and_unprepares(node):
    await node.start()
    driver = await node.driver()
    driver.hold("NodePrepareResources")
    await node.claiming_pod("p", "c")
    await driver.next("NodePrepareResources")
    await node.delete("p")
    await node.until_gone("pods", "p")
    assert dra_calls(driver) == PREPARE_THEN_UNPREPARE
    assert [c.code for c in node.calls[2:]] == ["Canceled", "OK"]


async def test_a_pod_waits_for_its_driver_to_come_back(stepped):
    await stepped.start()
    driver = await stepped.connected_driver()
    stepped.define("c")
    await stepped.claiming_pod("p", "c", command=("sh", "-c", "exec sleep 1000"))
    await stepped.until_phase("Running")
    await driver.stop()
    await stepped.look()
    await stepped.journal.saw("driver deregistered")
    await stepped.delete("p")
    pause = await stepped.clock.asked(10.01, 15)
    await driver.start()
    await stepped.look()
    await stepped.registered(driver)
    await stepped.clock.advance(pause)
    await stepped.until_gone("pods", "p")
    assert dra_calls(driver) == PREPARE_THEN_UNPREPARE


async def test_a_claim_object_that_is_gone_is_unprepared_without_it(node):
    await node.start()
    driver = await node.driver()
    node.define("c")
    await node.claiming_pod("p", "c")
    await node.until_phase("Running")
    await node.drop_claim("c")
    await node.delete("p")
    await node.until_gone("pods", "p")
    assert (await driver.next("NodeUnprepareResources")).names == ["c"]


async def test_a_force_deleted_pod_is_stopped_and_unprepared(node):
    await node.start()
    driver = await node.driver()
    node.define("c")
    await node.claiming_pod("p", "c")
    await node.until_phase("Running")
    await node.delete("p", grace=0)
    assert (await driver.next("NodeUnprepareResources")).names == ["c"]


async def test_a_pod_deleted_while_no_kubelet_ran_is_unprepared_a_minute_after_its_start(stepped):
    await stepped.start()
    driver = await stepped.connected_driver()
    stepped.define("c")
    await stepped.claiming_pod("p", "c")
    await stepped.until_phase("Running")
    await stepped.stop()
    await stepped.delete("p", grace=0)
    stepped.clock.forget(60.0)
    await stepped.start()
    await stepped.journal.saw("driver connected")
    await stepped.clock.asked(60.0)
    await stepped.clock.advance(59)
    assert dra_calls(driver) == ["NodePrepareResources"]
    await stepped.clock.advance(1)
    assert (await driver.next("NodeUnprepareResources")).names == ["c"]
    await stepped.journal.saw("claims of a vanished pod unprepared")
    assert stepped.claims() == []


async def test_a_restarted_kubelet_leaves_running_pods_alone_and_knows_the_claims_to_unprepare(
    node,
):
    await node.start()
    driver = await node.driver()
    node.define("c")
    await node.claiming_pod("p", "c")
    await node.until_phase("Running")
    await node.stop()
    await node.start()
    await node.registered(driver)
    await node.delete("p")
    await node.until_gone("pods", "p")
    assert dra_calls(driver) == PREPARE_THEN_UNPREPARE


async def test_after_a_restart_the_next_pod_of_a_shared_claim_prepares_it_again(node):
    await node.start()
    driver = await node.driver()
    node.define("c")
    await node.claiming_pod("first", "c")
    await node.until_phase("Running", "first")
    await node.stop()
    await node.start()
    await node.registered(driver)
    await node.claiming_pod("second", "c")
    await node.until_phase("Running", "second")
    assert dra_calls(driver) == ["NodePrepareResources"] * 2
    (state,) = [entry["DriverState"][driver.name] for entry in node.claims()]
    assert len(state["Devices"]) == 2  # Recorded again, as kubelet 1.36 does.


async def test_a_pod_that_only_waited_does_not_unprepare_a_claim_of_another(node):
    """Two pods name one claim; the one that was never allowed to use it goes first."""
    await node.start()
    driver = await node.driver()
    node.define("c")
    await node.claiming_pod("p", "c")
    await node.until_phase("Running")
    await node.pod("stranger", claims=["c"])
    await node.event("FailedPrepareDynamicResources")
    await node.delete("stranger")
    await node.until_gone("pods", "stranger")
    assert dra_calls(driver) == ["NodePrepareResources"]
