"""What drivers report about their devices' health reaches the pods that hold them."""

import pytest

UNPREPARE = "NodeUnprepareResources"


def health(pod):
    """Health and message of the container's devices by resource ID, under the name of each claim."""
    (status,) = pod["status"].get("containerStatuses") or [{}]
    return {
        claim["name"]: {
            r["resourceID"]: (r["health"], r.get("message", "")) for r in claim["resources"]
        }
        for claim in status.get("allocatedResourcesStatus") or ()
    }


async def until_health(node, *states):
    def holds(pod):
        found = [state for devices in health(pod).values() for state, _ in devices.values()]
        return found == list(states)

    return await node.until("pods", "p", holds, "default")


@pytest.fixture
async def running(stepped):
    """A pod with the device `dev-c` of a driver that has reported nothing yet."""
    await stepped.start()
    driver = await stepped.connected_driver()
    stepped.define("c")
    await driver.streams.get()
    await stepped.claiming_pod("p", "c", command=("sh", "-c", "exec sleep 1000"))
    await stepped.until_phase("Running")
    return stepped, driver


async def test_a_device_nobody_spoke_of_is_unknown(running):
    node, _ = running
    pod = await node.until_phase("Running")
    assert health(pod) == {"claim:c": {"example.com/card=c": ("Unknown", "")}}


async def test_a_report_reaches_the_pod_that_holds_the_device(running):
    node, driver = running
    driver.tell("HEALTHY", "dev-c", "dev-other")
    await until_health(node, "Healthy")
    driver.tell("UNHEALTHY", "dev-c", message="fan stopped")
    pod = await until_health(node, "Unhealthy")
    assert health(pod) == {"claim:c": {"example.com/card=c": ("Unhealthy", "fan stopped")}}


async def test_the_same_report_again_writes_nothing(running):
    node, driver = running
    driver.tell("HEALTHY", "dev-c")
    before = await until_health(node, "Healthy")
    driver.tell("HEALTHY", "dev-c")
    driver.tell("HEALTHY", "dev-x")
    await node.annotate("p")
    after = await node.api.get("pods", "p", "default")
    versions = [int(pod["metadata"]["resourceVersion"]) for pod in (before, after)]
    assert health(after) == health(before)
    assert after["status"] == before["status"]
    assert versions[0] < versions[1]


async def test_a_long_message_is_cut_to_1024_characters(running):
    node, driver = running
    driver.tell("UNHEALTHY", "dev-c", message="x" * 2000)
    pod = await until_health(node, "Unhealthy")
    ((_, message),) = health(pod)["claim:c"].values()
    assert message == "x" * 1021 + "..."


@pytest.mark.parametrize(("own", "seconds"), [(0, 30), (7, 7)])
async def test_a_device_not_spoken_of_in_time_is_unknown(running, own, seconds):
    node, driver = running
    driver.tell("HEALTHY", "dev-c", timeout=own)
    await until_health(node, "Healthy")
    await node.clock.advance(seconds)
    driver.tell("HEALTHY", "dev-c", timeout=own)
    driver.tell("UNHEALTHY", "dev-c", timeout=own)
    await until_health(node, "Unhealthy")
    await node.clock.advance(seconds + 1)
    driver.tell("UNHEALTHY", "dev-other")
    driver.tell("HEALTHY", "dev-c", message="back", timeout=own)
    pod = await until_health(node, "Healthy")
    assert health(pod)["claim:c"]["example.com/card=c"] == ("Healthy", "back")


async def test_a_stream_that_ended_is_opened_again_after_5_seconds_and_nothing_is_known_meanwhile(
    running,
):
    node, driver = running
    driver.tell("HEALTHY", "dev-c")
    await until_health(node, "Healthy")
    driver.reports.put_nowait(None)
    await node.journal.saw("health stream ended")
    await node.clock.asked(5)
    await node.clock.advance(4.9)
    assert driver.streams.empty()
    await node.annotate("p")
    await until_health(node, "Unknown")
    await node.clock.advance(0.1)
    await driver.streams.get()
    driver.tell("HEALTHY", "dev-c", message="again")
    pod = await until_health(node, "Healthy")
    assert health(pod)["claim:c"]["example.com/card=c"] == ("Healthy", "again")


async def test_a_driver_without_the_service_is_asked_every_5_seconds_and_works(stepped):
    await stepped.start()
    driver = await stepped.driver(start=False)
    await driver.serve(driver.endpoint, [*driver.all_services()[:2]])
    await driver.start_registration()
    await stepped.look()
    await stepped.registered(driver)
    for _ in range(3):
        await stepped.journal.saw("health stream not open")
        await stepped.clock.asked(5)
        await stepped.clock.advance(5)
    stepped.define("c")
    await stepped.claiming_pod("p", "c")
    await stepped.until_phase("Running")


async def test_a_report_at_the_opening_makes_a_pod_that_waits_to_be_unprepared_go_on(running):
    node, driver = running
    await driver.stop()
    await node.look()
    await node.journal.saw("driver deregistered")
    await node.delete("p")
    await node.clock.asked(10.01, 15)
    driver.reports = type(driver.reports)()
    driver.tell("HEALTHY", "dev-c")
    await driver.start()
    await node.look()
    await node.until_gone("pods", "p")
    assert [heard.method for heard in driver.log].count(UNPREPARE) == 1
