"""How a driver becomes known to the kubelet, is refused, and is forgotten."""

from itertools import pairwise

import grpc
import pytest

from pydra_core._proto import pluginregistration_v1_pb2 as registration
from pydra_testbed.kubelet import KubeletSettings

from .driverdouble import V1BETA1

UNUSABLE = (
    "plugin validation failed with err: invalid supported gRPC versions of DRA driver plugin "
    "card.example.com at endpoint {endpoint}: "
)
NONE_KNOWN = (
    "none of services supported by the plugin ({theirs}) are supported by the kubelet "
    '(["v1.DRAPlugin" "v1beta1.DRAPlugin"])'
)
EMPTY_LIST = "empty list of supported gRPC services (aka supported versions)"
NOT_REGISTERED = "DRA driver card.example.com is not registered"


async def test_a_socket_that_appears_is_registered_within_a_second(stepped):
    await stepped.start()
    driver = await stepped.driver()
    info, notify = driver.log
    assert info.method == "GetInfo"
    assert 0 < info.deadline <= 1
    assert notify.message == registration.RegistrationStatus(plugin_registered=True)
    assert 4 < notify.deadline <= 5


async def test_a_driver_that_was_there_first_is_registered_at_start(stepped):
    driver = await stepped.driver(registered=False)
    await stepped.start()
    await stepped.registered(driver)


async def test_the_first_version_of_the_driver_s_list_is_used(node):
    await node.start()
    driver = await node.driver(
        versions=["v1alpha1.DRAResourceHealth", "v1beta1.DRAPlugin", "v1.DRAPlugin"]
    )
    node.define("c")
    await node.claiming_pod("p", "c")
    await node.until_phase("Running")
    assert (await driver.next("NodePrepareResources")).service == V1BETA1


async def test_a_driver_without_endpoint_is_served_on_its_registration_socket(node):
    await node.start()
    driver = await node.driver(start=False)
    driver.info.endpoint = ""
    await driver.serve(driver.reg, driver.all_services())
    await node.registered(driver)
    node.define("c")
    await node.claiming_pod("p", "c")
    await node.until_phase("Running")
    assert node.calls[-1].endpoint == str(driver.reg)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"supported_versions": ["v9.DRAPlugin"]},
            UNUSABLE + NONE_KNOWN.replace("{theirs}", '["v9.DRAPlugin"]'),
        ),
        (
            {"supported_versions": ["1.0.0", "v1beta1"]},
            UNUSABLE + NONE_KNOWN.replace("{theirs}", '["1.0.0" "v1beta1"]'),
        ),
        ({"supported_versions": []}, UNUSABLE + EMPTY_LIST),
        (
            {"type": "CSIPlugin"},
            "no handler registered for plugin type: CSIPlugin at socket {reg}",
        ),
        ({"name": ""}, "plugin validation failed with err: DRA driver name is empty"),
    ],
)
async def test_a_driver_the_kubelet_cannot_use_is_told_why(node, change, words):
    await node.start()
    driver = await node.driver(start=False)
    for name, value in change.items():
        driver.info.ClearField(name)
        driver.info.MergeFrom(registration.PluginInfo(**{name: value}))
    await driver.start()
    refused = await driver.next("NotifyRegistrationStatus")
    assert not refused.message.plugin_registered
    expected = words.format(endpoint=driver.endpoint, reg=driver.reg)
    assert refused.message.error == f"RegisterPlugin error -- {expected}"


async def test_a_refused_driver_is_asked_again_after_1_3_6_and_11_seconds(stepped):
    """The seconds a real kubelet took: facts, cluster 6."""
    await stepped.start(KubeletSettings(heartbeat_period=10_000))
    await stepped.driver(versions=["v9.DRAPlugin"], registered=False)
    seen = [second for second in range(14) if await stepped.look_at_refused()]
    assert [second - seen[0] for second in seen] == [0, 1, 3, 6, 11]


async def test_the_back_off_of_a_refused_driver_ends_at_about_two_minutes(stepped):
    await stepped.start(KubeletSettings(heartbeat_period=10_000))
    await stepped.driver(versions=["v9.DRAPlugin"], registered=False)
    seen = [second for second in range(640) if await stepped.look_at_refused()]
    assert [later - sooner for sooner, later in pairwise(seen)][-3:] == [123, 123, 123]


async def test_a_second_driver_with_a_taken_endpoint_is_refused_and_the_first_stays(node):
    await node.start()
    first = await node.driver()
    second = await node.driver(instance="-x", start=False)
    second.info.endpoint = str(first.endpoint)
    await second.start_registration()
    refused = await second.next("NotifyRegistrationStatus")
    assert refused.message.error == (
        "RegisterPlugin error -- plugin registration failed with err: endpoint "
        f"{first.endpoint} already registered for DRA driver plugin card.example.com"
    )
    node.define("c")
    await node.claiming_pod("p", "c")
    await node.until_phase("Running")


async def test_a_driver_that_fails_to_take_the_good_news_is_deregistered(stepped):
    await stepped.start()
    driver = await stepped.driver(start=False)
    driver.fail("NotifyRegistrationStatus", grpc.StatusCode.INTERNAL)
    await driver.start()
    await stepped.look()
    await stepped.journal.saw("driver not registered")
    await stepped.claiming_pod("p", "c")
    assert NOT_REGISTERED in await stepped.event("FailedPrepareDynamicResources")
    await stepped.look()
    await stepped.registered(driver)


async def test_a_driver_that_does_not_answer_the_good_news_in_5_seconds_is_deregistered(stepped):
    await stepped.start()
    driver = await stepped.driver(registered=False)
    driver.hold("NotifyRegistrationStatus")
    await stepped.look()
    await driver.next("NotifyRegistrationStatus")
    await stepped.clock.advance(5)
    call = stepped.calls[-1]
    assert (call.method, call.code) == ("NotifyRegistrationStatus", "DeadlineExceeded")
    await stepped.journal.saw("driver deregistered")


async def test_a_driver_that_does_not_answer_getinfo_in_a_second_is_left(stepped):
    await stepped.start()
    driver = await stepped.driver(registered=False)
    driver.hold("GetInfo")
    await stepped.look()
    await driver.next("GetInfo")
    await stepped.clock.advance(1)
    call = stepped.calls[-1]
    assert (call.method, call.code) == ("GetInfo", "DeadlineExceeded")


async def test_a_driver_that_hangs_holds_up_nobody_else(node):
    await node.start()
    slow = await node.driver("slow.example.com", start=False)
    release = slow.hold("GetInfo")
    await slow.start()
    await slow.next("GetInfo")
    await node.driver("quick.example.com")
    release.set()


async def test_a_socket_nobody_listens_on_is_given_up_after_10_seconds(stepped):
    await stepped.start()
    driver = await stepped.driver(registered=False)
    await driver.abandon()
    await stepped.look()
    await stepped.clock.asked(10)
    await stepped.clock.advance(10)
    assert stepped.calls == []
    await driver.start_registration()
    await stepped.look()
    await driver.next("GetInfo")


async def test_names_with_a_dot_and_plain_files_are_no_drivers(node):
    registry = node.root / "plugins_registry"
    registry.mkdir(parents=True)
    (registry / "file-reg.sock").write_text("no socket")
    hidden = await node.driver("hidden.example.com", start=False)
    hidden.reg = registry / ".hidden-reg.sock"
    await hidden.start()
    await node.start()
    await node.driver("seen.example.com")
    assert hidden.log == []


async def test_a_socket_in_a_folder_of_the_registry_is_found(node):
    await node.start()
    driver = await node.driver(start=False)
    driver.reg = node.root / "plugins_registry" / "acme" / "reg.sock"
    await driver.start()
    await node.registered(driver)


async def test_a_removed_registration_socket_deregisters_a_driver_that_lives(node):
    await node.start()
    driver = await node.driver()
    await driver.stop(driver.reg)
    await node.journal.saw("driver deregistered")
    await node.claiming_pod("p", "c")
    assert NOT_REGISTERED in await node.event("FailedPrepareDynamicResources")


async def test_a_socket_bound_again_at_the_same_path_registers_again(node):
    await node.start()
    driver = await node.driver()
    await driver.stop(driver.reg)
    await driver.start_registration()
    await node.registered(driver)
    assert [heard.method for heard in driver.log].count("GetInfo") == 2


async def test_the_newest_connected_instance_is_called_and_after_it_the_older_one(node):
    await node.start()
    a = await node.connected_driver(instance="-a")
    b = await node.connected_driver(instance="-b")
    node.define("c")
    await node.claiming_pod("p", "c")
    await node.until_phase("Running")
    assert [h.method for h in b.log[2:]] == ["NodePrepareResources"]
    await b.stop()
    await node.delete("p")
    await node.until_gone("pods", "p")
    assert [h.method for h in a.log[2:]] == ["NodeUnprepareResources"]


async def test_a_restarted_kubelet_registers_the_drivers_again(node):
    await node.start()
    driver = await node.driver()
    await node.stop()
    await node.start()
    await node.registered(driver)
