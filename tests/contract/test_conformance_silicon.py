"""When a published device and an ID of a device plugin are the same silicon: what DP-08 makes of what containers get."""

import pytest

from pydra_testbed.conformance.silicon import Marks, Verdict, compared, own

CTL, ZERO, ONE = "/dev/ctl", "/dev/card0", "/dev/card1"


def marks(nodes=(), settings=(), names=()):
    return Marks(frozenset(nodes), frozenset(settings), frozenset(names))


@pytest.mark.parametrize(
    ("devices", "plugged", "verdict"),
    [
        ([marks([CTL, ZERO]), marks([CTL, ONE])], marks([CTL, ZERO]), Verdict.SAME),
        ([marks([CTL, ZERO]), marks([CTL, ONE])], marks([CTL, "/dev/card2"]), Verdict.DIFFERENT),
        ([marks([CTL, ZERO])], marks([CTL, ZERO]), Verdict.SAME),
        ([marks([CTL, ZERO])], marks([CTL, ONE]), Verdict.DIFFERENT),
        ([marks([ZERO], names=["card-0"])], marks([ONE], names=["card-0"]), Verdict.DIFFERENT),
        ([marks([ZERO, "/dev/part1"])], marks([ZERO, "/dev/part2"]), Verdict.DIFFERENT),
        ([marks([ZERO], names=["card-0"])], marks(names=["card-0"]), Verdict.SAME),
        ([marks([ZERO])], marks(settings=["CARD=1"]), Verdict.UNKNOWN),
        (
            [marks(settings=["ID=GPU-a", "GPU-a", "A=1"]), marks(settings=["ID=GPU-b", "A=1"])],
            marks(settings=["VISIBLE=GPU-a", "GPU-a"]),
            Verdict.SAME,
        ),
        (
            [marks(settings=["ID=GPU-a", "A=1"]), marks(settings=["ID=GPU-b", "A=1"])],
            marks(settings=["ID=GPU-c", "A=1"]),
            Verdict.DIFFERENT,
        ),
        ([marks(settings=["MODE=fast"])], marks(settings=["MODE=fast"]), Verdict.UNKNOWN),
    ],
)
def test_what_a_device_has_alone_is_looked_for_in_what_an_id_brings(devices, plugged, verdict):
    assert compared(own(devices)[0], plugged) is verdict
