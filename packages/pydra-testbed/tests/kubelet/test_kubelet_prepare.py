"""Claims prepared for a pod: what is checked, what is called, what the pod is told."""

import asyncio

import grpc
import pytest

FAILED = "Failed to prepare dynamic resources: prepare dynamic resources: "


async def test_a_pod_with_a_claim_runs_with_its_device(node):
    await node.start()
    driver = await node.driver()
    node.define("c")
    await node.claiming_pod("p", "c", command=("sh", "-c", "echo $CARD_C"), restartPolicy="Never")
    await node.until_phase("Succeeded")
    assert await node.log() == "1\n"
    assert [heard.method for heard in driver.log] == [
        "GetInfo",
        "NotifyRegistrationStatus",
        "NodePrepareResources",
        "NodeUnprepareResources",
    ]


async def test_all_claims_of_a_pod_go_to_a_driver_in_one_call(node):
    await node.start()
    driver = await node.driver()
    node.define("a", "b")
    pod = await node.claiming_pod("p", "a", "b")
    await node.until_phase("Running")
    heard = await driver.next("NodePrepareResources")
    assert heard.names == ["a", "b"]
    claim = await node.api.get("resourceclaims", "a", "default")
    assert heard.message.claims[0].uid == claim["metadata"]["uid"]
    assert heard.message.claims[0].namespace == "default"
    assert 44 < heard.deadline <= 45
    assert pod["metadata"]["uid"] not in heard.raw.decode(errors="replace")


async def test_each_driver_of_a_claim_is_called_once(node):
    await node.start()
    one = await node.driver("one.example.com")
    two = await node.driver("two.example.com")
    node.define("c")
    await node.claim("c", "one.example.com", "two.example.com")
    await node.claiming_pod("p", "c")
    await node.until_phase("Running")
    assert (await one.next("NodePrepareResources")).names == ["c"]
    assert (await two.next("NodePrepareResources")).names == ["c"]


async def test_a_claim_no_container_uses_is_prepared_too(node):
    await node.start()
    driver = await node.driver()
    await node.claiming_pod("p", "c", container={"resources": {}})
    await node.until_phase("Running")
    assert (await driver.next("NodePrepareResources")).names == ["c"]


async def test_a_claim_shared_by_two_pods_is_prepared_once_and_unprepared_after_the_last(node):
    await node.start()
    driver = await node.driver()
    node.define("shared")
    await node.claiming_pod("p1", "shared")
    await node.until_phase("Running", "p1")
    await node.claiming_pod("p2", "shared")
    await node.until_phase("Running", "p2")
    await node.delete("p1")
    await node.until_gone("pods", "p1")
    assert [h.method for h in driver.log[2:]] == ["NodePrepareResources"]
    await node.delete("p2")
    await node.until_gone("pods", "p2")
    assert [h.method for h in driver.log[3:]] == ["NodeUnprepareResources"]


async def test_a_container_restart_does_not_prepare_again(node):
    await node.start()
    driver = await node.driver()
    node.define("c")
    await node.claiming_pod("p", "c", command=("sh", "-c", "exit 1"))
    restarted = await node.until(
        "pods",
        "p",
        lambda pod: (pod["status"].get("containerStatuses") or [{}])[0].get("restartCount"),
        "default",
    )
    assert restarted["status"]["containerStatuses"][0]["restartCount"] == 1
    assert [h.method for h in driver.log[2:]] == ["NodePrepareResources"]


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ("claim", "NodePrepareResources failed for ResourceClaim c: no card left"),
        (
            grpc.StatusCode.INTERNAL,
            "NodePrepareResources: rpc error: code = Internal desc = the test said so",
        ),
        ("skip", "NodePrepareResources skipped 1 ResourceClaims"),
        ("stranger", "NodePrepareResources returned result for unknown claim UID somebody-else"),
    ],
)
async def test_a_failed_prepare_is_an_event_in_the_kubelet_s_words(node, failure, words):
    await node.start()
    driver = await node.driver()
    spoil_prepare(driver, failure)
    await node.claiming_pod("p", "c")
    assert await node.event("FailedPrepareDynamicResources") == FAILED + words
    pod = await node.api.get("pods", "p", "default")
    assert pod["status"]["phase"] == "Pending"
    waiting = pod["status"]["containerStatuses"][0]["state"]["waiting"]
    assert waiting["reason"] == "ContainerCreating"


def spoil_prepare(driver, failure):
    if failure == "claim":
        driver.fail_claims("NodePrepareResources", "no card left")
    elif failure == "skip":
        driver.fail("NodePrepareResources", lambda h: type(driver.prepare(h))())
    elif failure == "stranger":
        driver.fail("NodePrepareResources", lambda h: stranger(driver.prepare(h)))
    else:
        driver.fail("NodePrepareResources", failure)


def stranger(response):
    response.claims.clear()
    response.claims["somebody-else"].SetInParent()
    return response


async def test_nothing_is_asked_of_other_drivers_after_the_first_trouble(node):
    await node.start()
    one = await node.driver("one.example.com")
    two = await node.driver("two.example.com")
    for driver in (one, two):
        driver.fail_claims("NodePrepareResources", "no")
    await node.claim("c", "one.example.com", "two.example.com")
    await node.claiming_pod("p", "c")
    await node.event("FailedPrepareDynamicResources")
    asked = [h.method for driver in (one, two) for h in driver.log].count("NodePrepareResources")
    assert asked == 1


async def test_a_failed_prepare_is_tried_again_after_60_to_90_seconds(stepped):
    await stepped.start()
    driver = await stepped.driver()
    driver.fail_claims("NodePrepareResources", "not yet")
    stepped.define("c")
    await stepped.claiming_pod("p", "c")
    await driver.next("NodePrepareResources")
    pause = await stepped.clock.asked(60.1, 90)
    await stepped.clock.advance(pause - 1)
    assert [h.method for h in driver.log].count("NodePrepareResources") == 1
    await stepped.clock.advance(1)
    assert (await driver.next("NodePrepareResources")).names == ["c"]
    await stepped.until_phase("Running")


async def test_an_update_of_the_pod_makes_the_kubelet_try_at_once(stepped):
    await stepped.start()
    driver = await stepped.driver()
    driver.fail_claims("NodePrepareResources", "not yet")
    stepped.define("c")
    await stepped.claiming_pod("p", "c")
    await stepped.clock.asked(60.1, 90)
    await stepped.annotate("p")
    await stepped.until_phase("Running")
    assert [h.method for h in driver.log].count("NodePrepareResources") == 2


async def test_a_driver_that_hangs_is_given_up_after_45_seconds(stepped):
    await stepped.start()
    driver = await stepped.driver()
    driver.hold("NodePrepareResources")
    await stepped.claiming_pod("p", "c")
    await driver.next("NodePrepareResources")
    await stepped.clock.asked(45)
    await stepped.clock.advance(45)
    message = await stepped.event("FailedPrepareDynamicResources")
    assert message == FAILED + (
        "NodePrepareResources: rpc error: code = DeadlineExceeded desc = context deadline exceeded"
    )
    call = stepped.calls[-1]
    assert (call.method, call.code, call.duration) == (
        "NodePrepareResources",
        "DeadlineExceeded",
        45,
    )


async def test_a_driver_that_is_deregistered_during_a_call_fails_the_call_only(node):
    await node.start()
    driver = await node.driver()
    driver.hold("NodePrepareResources")
    await node.claiming_pod("p", "c")
    await driver.next("NodePrepareResources")
    await driver.stop(driver.reg)
    assert await node.event("FailedPrepareDynamicResources") == FAILED + (
        "NodePrepareResources: rpc error: code = Canceled "
        "desc = grpc: the client connection is closing"
    )
    await node.delete("p")
    await node.journal.saw("claims not unprepared, trying again")


async def test_a_driver_that_is_deregistered_before_its_turn_fails_the_prepare(node):
    await node.start()
    drivers = [await node.driver(name) for name in ("one.example.com", "two.example.com")]
    release = [driver.hold("NodePrepareResources") for driver in drivers]
    await node.claim("c", "one.example.com", "two.example.com")
    await node.claiming_pod("p", "c")
    first = await first_asked(drivers)
    other = next(driver for driver in drivers if driver is not first)
    await other.stop(other.reg)
    await node.journal.saw("driver deregistered")
    for event in release:
        event.set()
    assert "the client connection is closing" in await node.event("FailedPrepareDynamicResources")


async def test_a_pod_waits_for_a_driver_that_is_not_registered(node):
    await node.start()
    await node.claiming_pod("p", "c")
    message = await node.event("FailedPrepareDynamicResources")
    assert message == FAILED + "DRA driver card.example.com is not registered"


async def test_the_same_failure_again_raises_the_event_s_count(node):
    await node.start()
    await node.claiming_pod("p", "c")
    await node.event("FailedPrepareDynamicResources")
    await node.annotate("p")
    await node.event("FailedPrepareDynamicResources", count=2)
    events = await node.api.list("events")
    assert len([e for e in events.items if e["reason"] == "FailedPrepareDynamicResources"]) == 1


async def test_a_claim_reserved_for_somebody_else_may_not_be_used(node):
    await node.start()
    await node.driver()
    claim = await node.claim("c")
    pod = await node.pod("p", claims=["c"])
    message = await node.event("FailedPrepareDynamicResources")
    uid = pod["metadata"]["uid"]
    assert message == FAILED + (
        f"pod p ({uid}) is not allowed to use ResourceClaim c ({claim['metadata']['uid']})"
    )


async def test_a_claim_that_is_missing_is_named(node):
    await node.start()
    await node.pod("p", claims=["c"])
    message = await node.event("FailedPrepareDynamicResources")
    assert message == FAILED + (
        'fetch ResourceClaim c: resourceclaims.resource.k8s.io "c" not found'
    )


async def test_a_claim_from_a_template_must_have_been_created(node):
    await node.start()
    await node.pod("p", resourceClaims=[{"name": "c", "resourceClaimTemplateName": "t"}])
    message = await node.event("FailedPrepareDynamicResources")
    assert message == FAILED + 'pod "default/p": ResourceClaim not created yet'


async def test_a_claim_from_a_template_must_be_owned_by_the_pod(node):
    await node.start()
    pod = await node.pod(
        "p", bound=False, resourceClaims=[{"name": "c", "resourceClaimTemplateName": "t"}]
    )
    await node.claim("generated", pods=[pod])
    pod["status"]["resourceClaimStatuses"] = [{"name": "c", "resourceClaimName": "generated"}]
    await node.api.update("pods", pod, "status")
    await node.bind("p")
    message = await node.event("FailedPrepareDynamicResources")
    assert message == FAILED + (
        "ResourceClaim default/generated was not created for pod default/p (pod is not owner)"
    )


async def test_a_template_entry_that_needs_no_claim_is_no_obstacle(node):
    await node.start()
    pod = await node.pod(
        "p", bound=False, resourceClaims=[{"name": "c", "resourceClaimTemplateName": "t"}]
    )
    pod["status"]["resourceClaimStatuses"] = [{"name": "c"}]
    await node.api.update("pods", pod, "status")
    await node.bind("p")
    await node.until_phase("Running")


async def test_a_new_claim_under_an_old_name_waits_until_the_old_one_is_unprepared(node):
    await node.start()
    driver = await node.driver()
    node.define("c")
    driver.fail_claims("NodeUnprepareResources", "still busy")
    await node.claiming_pod("p", "c", command=("true",), restartPolicy="Never")
    await driver.next("NodeUnprepareResources")
    await node.delete("p", grace=0)
    await node.drop_claim("c")
    await node.claiming_pod("q", "c")
    message = await node.event("FailedPrepareDynamicResources")
    assert "old ResourceClaim with same name c and different UID" in message
    assert message.endswith("still exists (previous pod force-deleted?!)")


async def test_a_container_gets_the_devices_of_the_requests_it_names(node):
    await node.start()
    driver = await node.driver()
    node.define("big", "small", "both")

    def answer(heard):
        response = driver.prepare(heard)
        for result in response.claims.values():
            del result.devices[:]
            for request, card in (("big", "big"), ("small", "small"), ("", "both")):
                device = result.devices.add(pool_name="node-a", device_name=card)
                device.request_names.extend([request] if request else [])
                device.cdi_device_ids.append(f"example.com/card={card}")
        return response

    driver.fail("NodePrepareResources", answer)
    await node.claim("c", requests=("big", "small"))
    show = ["sh", "-c", "env | grep CARD_ | sort; sleep 1000"]
    claims = {
        "all": [{"name": "c"}],
        "one": [{"name": "c", "request": "small"}],
        "none": [],
    }
    containers = [
        {"name": name, "image": "none", "command": show, "resources": {"claims": entries}}
        for name, entries in claims.items()
    ]
    await node.claiming_pod("p", "c", containers=containers)
    await node.until_phase("Running")
    logs = {name: await node.first_of_log("p", name) for name in ("all", "one")}
    assert logs == {"all": "CARD_BIG=1", "one": "CARD_BOTH=1"}
    pod = await node.api.get("pods", "p", "default")
    seen = {name: node.environment(pod, name) for name in claims}
    assert seen == {
        "all": {"CARD_BIG", "CARD_SMALL", "CARD_BOTH"},
        "one": {"CARD_SMALL", "CARD_BOTH"},
        "none": set(),
    }


async def test_devices_nobody_defines_keep_the_container_waiting_with_the_runtime_s_words(node):
    await node.start()
    await node.driver()
    await node.claiming_pod("p", "c")
    waiting = await node.until_waiting("CreateContainerError")
    assert waiting["message"].startswith(
        "CDI device injection failed: unresolvable CDI devices example.com/card=c"
    )


async def test_devices_are_recorded_again_when_another_driver_failed(node):
    """A known bug of kubelet 1.36, kept so that drivers meet it: the ID reaches the runtime twice."""
    await node.start()
    await node.driver("one.example.com")
    two = await node.driver("two.example.com", start=False)
    two.prepare = lambda heard: empty(two, heard)
    await two.start()
    await node.registered(two)
    two.fail_claims("NodePrepareResources", "no", times=8)
    node.define("c")
    await node.claim("c", "one.example.com", "two.example.com")
    await node.claiming_pod("p", "c", container={"command": ["sleep", "1000"]})
    tries = 0
    while not any(c.driver == "one.example.com" and c.claims for c in node.calls):
        tries += 1
        await node.event("FailedPrepareDynamicResources", count=tries)
        await node.annotate("p", str(tries))
    two.failures.clear()
    await node.annotate("p", "last")
    await node.until_phase("Running")
    answered = [c for c in node.calls if c.driver == "one.example.com" and c.claims]
    (claim,) = node.claims()
    devices = claim["DriverState"]["one.example.com"]["Devices"]
    assert len(devices) == len(answered) > 1


async def first_asked(drivers):
    """The driver that is asked to prepare first."""
    asking = {asyncio.ensure_future(d.next("NodePrepareResources")): d for d in drivers}
    done, waiting = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    return asking[done.pop()]


def empty(driver, heard):
    response = type(driver).prepare(driver, heard)
    for result in response.claims.values():
        del result.devices[:]
    return response


async def test_every_call_is_told_to_the_observer(node):
    await node.start()
    driver = await node.driver()
    driver.fail_claims("NodePrepareResources", "no card left")
    await node.claiming_pod("p", "c")
    await node.event("FailedPrepareDynamicResources")
    info, notify, prepare = node.calls
    assert (info.method, info.driver, info.endpoint) == ("GetInfo", driver.name, str(driver.reg))
    assert (notify.method, notify.code) == ("NotifyRegistrationStatus", "OK")
    assert prepare.service == "k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin"
    assert prepare.endpoint == str(driver.endpoint)
    claim = await node.api.get("resourceclaims", "c", "default")
    assert [(c.namespace, c.name, c.uid) for c in prepare.claims] == [
        ("default", "c", claim["metadata"]["uid"])
    ]
    assert prepare.code == "OK"
    assert prepare.claim_errors == ((claim["metadata"]["uid"], "no card left"),)
    assert prepare.duration > 0
