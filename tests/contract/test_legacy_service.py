"""What a kubelet gets from the device plugin of a driver, call by call, over real sockets."""

from __future__ import annotations

import legacy_world
from driver_world import DRIVER
from legacy_world import CARD, SEAT, started

from pydra_core._proto import deviceplugin_v1beta1_pb2 as pb
from pydra_core._state import set_aside

kubelet = legacy_world.kubelet

UUID = "00000000-0000-4000-8000-000000000000"


async def test_it_serves_before_it_registers_and_tells_all_ids_at_once(world, kubelet):
    await started(world)
    cards, seats = await kubelet.plugin(CARD), await kubelet.plugin(SEAT)
    assert not cards.options.pre_start_required
    assert cards.options.get_preferred_allocation_available
    assert cards.health == {"card-0": "Healthy", "card-1": "Healthy", "card-2": "Healthy"}
    assert list(seats.health) == ["card-3::0", "card-3::1", "card-3::2"]
    assert cards.endpoint != seats.endpoint
    hints = {d.ID: [node.ID for node in d.topology.nodes] for d in cards.lists[0].devices}
    assert hints == {"card-0": [0], "card-1": [0], "card-2": [1]}


async def test_a_kubelet_without_claims_is_to_tell_of_each_start(world, kubelet):
    """One with claims would do so too for containers that get theirs by a claim, and start none of them."""
    await started(world, offers_dra=False, ENABLE_DRA="false")
    assert (await kubelet.plugin(CARD)).options.pre_start_required


async def test_an_unchanged_list_follows_for_a_kubelet_whose_earlier_connection_ends_late(
    world, kubelet
):
    await started(world)
    cards = await kubelet.plugin(CARD)
    await kubelet.until(lambda: len(cards.lists) > 1)
    assert cards.lists[0] == cards.lists[1]


async def test_an_older_connection_of_the_kubelet_that_ends_late_is_no_loss(world, kubelet):
    driver = await started(world)
    old = await kubelet.plugin(CARD)
    request = pb.RegisterRequest(resource_name=CARD, endpoint=old.endpoint)
    new = legacy_world.Registered(kubelet, request)
    await new.dial_back()
    await kubelet.until(lambda: new.lists)
    for plugin in (old, new):
        await plugin.close()
    lost = f"the kubelet reads no more resource={CARD}"
    await driver.says(lost)
    await kubelet.plugin(CARD, after=1)
    assert driver.logged().count(lost) == 1


async def test_containers_are_answered_in_order_with_cdi_names_that_are_there(world, kubelet):
    await started(world)
    cards = await kubelet.plugin(CARD)
    two, one = await cards.allocate(["card-1", "card-0"], ["card-2"])
    assert [d.name.rpartition("_")[2] for d in two.cdi_devices] == ["card-1", "card-0"]
    assert [d.name.rpartition("_")[2] for d in one.cdi_devices] == ["card-2"]
    assert not two.envs
    assert not two.mounts
    assert not two.devices
    assert len(world.spec_files()) == 3
    text = b"".join(world.spec_files().values()).decode()
    assert all(
        device.name.partition("=")[2] in text for device in (*two.cdi_devices, *one.cdi_devices)
    )


async def test_a_repeated_allocation_and_a_part_of_it_get_the_same_again(world, kubelet):
    await started(world)
    cards = await kubelet.plugin(CARD)
    (both,) = await cards.allocate(["card-0", "card-1"])
    before = world.spec_files()
    assert list(await cards.allocate(["card-0", "card-1"])) == [both]
    (part,) = await cards.allocate(["card-1"])
    assert list(part.cdi_devices) == list(both.cdi_devices)[1:]
    (same,) = await cards.allocate(["card-0", "card-0"])
    assert list(same.cdi_devices) == list(both.cdi_devices)[:1]
    assert world.spec_files() == before


async def test_shares_of_one_card_go_to_different_containers(world, kubelet):
    await started(world)
    seats = await kubelet.plugin(SEAT)
    answers = await seats.allocate(["card-3::0"], ["card-3::1"])
    names = {device.name for answer in answers for device in answer.cdi_devices}
    assert len(names) == 2
    assert set(seats.health.values()) == {"Healthy"}


async def test_without_cdi_a_container_gets_variables_mounts_and_nodes(world, kubelet):
    await started(world, DEVICE_PLUGIN_ANSWER="plain")
    cards = await kubelet.plugin(CARD)
    (answer,) = await cards.allocate(["card-0", "card-2"])
    assert dict(answer.envs) == {"CARD_0": "card-0", "CARD_2": "card-2"}
    mounts = [(m.container_path, m.host_path, m.read_only) for m in answer.mounts]
    assert mounts == [("/cards/card-0", "/tmp", True), ("/cards/card-2", "/tmp", True)]
    nodes = [(d.container_path, d.host_path, d.permissions) for d in answer.devices]
    assert nodes == [("/dev/card-0", "/dev/null", "rw"), ("/dev/card-2", "/dev/null", "rw")]
    assert not answer.cdi_devices


async def test_what_plain_words_cannot_say_is_refused_and_nothing_stays_prepared(world, kubelet):
    (world.root / "hooks").write_text("yes")
    await started(world, DEVICE_PLUGIN_ANSWER="plain")
    cards = await kubelet.plugin(CARD)
    text = await cards.refusal(["card-0"])
    assert text == (
        f"{CARD} card-0: cannot be given without CDI, for its container needs the createContainer hook /bin/true; use"
        " a runtime with CDI and set DEVICE_PLUGIN_ANSWER=cdi"
    )
    assert world.spec_files() == {}


async def test_one_card_that_fails_undoes_the_others_of_the_same_container(world, kubelet):
    (world.root / "bad").write_text("card-1")
    driver = await started(world)
    cards = await kubelet.plugin(CARD)
    text = await cards.refusal(["card-0", "card-1", "card-2"])
    assert f"{CARD} card-1: driver card.acme.example failed to prepare it" in text
    assert "the card is on fire" in text
    assert world.spec_files() == {}
    await driver.registered()
    claim = await world.claim("card-0")
    assert not (await driver.prepare(claim)).claims[claim.uid].error


async def test_what_was_given_before_stays_when_a_later_call_fails(world, kubelet):
    await started(world)
    cards = await kubelet.plugin(CARD)
    await cards.allocate(["card-0"])
    (world.root / "bad").write_text("card-1")
    await cards.refusal(["card-0", "card-1"])
    assert len(world.spec_files()) == 1


async def test_an_id_nobody_offers_is_refused_with_what_to_do(world, kubelet):
    await started(world)
    cards = await kubelet.plugin(CARD)
    assert await cards.refusal(["card-9"]) == (
        f"{CARD} card-9: the driver does not offer it (any more); delete the pod, so that it gets another, and look at"
        " the driver's log if the device should be there"
    )


async def test_advice_keeps_to_a_numa_node_and_to_the_order(world, kubelet):
    await started(world)
    cards = await kubelet.plugin(CARD)
    assert await cards.preferred(["card-2", "card-1", "card-0"], 2) == ["card-0", "card-1"]
    assert await cards.preferred(["card-2", "card-1", "card-0"], 2, ["card-2"]) == [
        "card-2",
        "card-0",
    ]


async def test_before_a_container_starts_what_it_got_is_there_again(world, kubelet):
    await started(world)
    cards = await kubelet.plugin(CARD)
    await cards.allocate(["card-0"])
    before = world.spec_files()
    for path in world.cdi.iterdir():
        path.unlink()
    await cards.pre_start("card-0")
    assert world.spec_files() == before


async def test_a_claims_card_is_unhealthy_for_pods_until_it_is_released(world, kubelet):
    driver = await started(world)
    await driver.registered()
    cards = await kubelet.plugin(CARD)
    claim = await world.claim("card-1")
    await driver.prepare(claim)
    await kubelet.until(lambda: cards.health["card-1"] == "Unhealthy")
    assert cards.health["card-0"] == "Healthy"
    text = await cards.refusal(["card-1"])
    assert f"still in the hands of claim default/{claim.name} (UID {claim.uid})" in text
    await driver.unprepare(claim)
    await kubelet.until(lambda: cards.health["card-1"] == "Healthy")
    assert len(await cards.allocate(["card-1"])) == 1


async def test_a_share_a_claim_has_keeps_all_of_the_card_from_pods(world, kubelet):
    driver = await started(world)
    await driver.registered()
    seats = await kubelet.plugin(SEAT)
    claim = await world.claim(
        {"driver": "card.acme.example", "pool": "node-1", "device": "card-3", "shareID": UUID}
    )
    assert not (await driver.prepare(claim)).claims[claim.uid].error
    await kubelet.until(lambda: set(seats.health.values()) == {"Unhealthy"})


async def test_sick_cards_and_those_set_aside_are_unhealthy(world, kubelet):
    await started(world)
    cards = await kubelet.plugin(CARD)
    (world.root / "sick").write_text("card-2")
    await kubelet.until(lambda: cards.health["card-2"] == "Unhealthy")
    (world.root / "sick").unlink()
    await kubelet.until(lambda: cards.health["card-2"] == "Healthy")
    aside = world.root / "kubelet" / "plugins" / DRIVER / set_aside.FILE_NAME
    set_aside.change(
        aside, lambda e: e.update({"card-1": set_aside.SetAside("Dusty", "NoSchedule")})
    )
    await kubelet.until(lambda: cards.health["card-1"] == "Unhealthy")
    set_aside.change(aside, lambda entries: entries.clear())
    await kubelet.until(lambda: cards.health["card-1"] == "Healthy")
