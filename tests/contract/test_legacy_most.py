"""Resources of which a container can use so many: more are refused before anything is prepared."""

from __future__ import annotations

import legacy_world
from legacy_world import CARD, PROGRAM, SEAT

kubelet = legacy_world.kubelet


async def test_a_container_that_asks_for_more_than_it_can_use_is_refused(world, kubelet):
    one_seat = PROGRAM.replace("tuple(seats))", "tuple(seats), most=1)")
    await world.start(one_seat, ENABLE_DEVICE_PLUGIN="true", STATE=str(world.root))
    seats, cards = await kubelet.plugin(SEAT), await kubelet.plugin(CARD)
    said = await seats.refusal(["card-3::0", "card-3::1"])
    assert said.startswith(f"{SEAT}: a container can use 1 of them, and one of this pod asks for 2")
    assert world.spec_files() == {}
    assert len(await seats.allocate(["card-3::0"], ["card-3::1"])) == 2
    assert len(await cards.allocate(["card-0", "card-1"])) == 1
