"""The driver killed at a line of what changes a GPU for turns: whatever a GPU was set to, it is set to again."""

from __future__ import annotations

import pytest
from grpc.aio import AioRpcError
from nvidia_world import PROGRAM, error, nvidia, slices_of
from thoroughness import sample

__all__ = ["nvidia"]
EXCLUSIVE = 3
TRAP = """
import os, pathlib, signal, sys
ARMED, SEEN = pathlib.Path(os.environ["TRAP"]), open(os.environ["TRAP"] + ".seen", "a")
FILES = {"using.py": {"begin", "end", "_end", "keep"}, "turns.py": {"take_turns", "set_mode", "compute_mode", "end_turns"}}
number, armed = 0, ""

def trap(frame, event, argument):
    global number, armed
    name = os.path.basename(frame.f_code.co_filename)
    if frame.f_code.co_name not in FILES.get(name, ()):
        return None
    if event == "line":
        if armed != (now := ARMED.read_text()):
            number, armed = 0, now
        number += 1
        print(f"{name}:{frame.f_lineno}", file=SEEN, flush=True)
        if number == int(armed or 0):
            os.kill(os.getpid(), signal.SIGKILL)
    return trap

sys.settrace(trap)
"""


class Trapped:
    """A node with one GPU that lets a single program in, and a driver that is killed at lines of it."""

    def __init__(self, nvidia):
        self.nvidia, self.host = nvidia, nvidia.build("t4x1")
        self.host.gpus[0].state.compute_mode = EXCLUSIVE
        self.armed = nvidia.root / "trap"
        self.driver = None

    async def serve(self):
        self.armed.write_text("")
        self.driver = await self.nvidia.start(
            TRAP + PROGRAM, NVIDIA_HOST_ROOT=str(self.host.root), TRAP=str(self.armed)
        )

    def lines(self):
        return self.armed.with_name("trap.seen").read_text().splitlines()

    async def life(self, at):
        """A claim comes and goes; the driver is killed at that line on the way. Whether there was such a line."""
        self.armed.write_text(str(at))
        claim = await self.nvidia.gpus("gpu-0", parameters=slices_of("Long"))
        try:
            assert await error(self.driver.prepare, claim) == ""
            assert self.host.gpus[0].state.compute_mode == 0
            assert await error(self.driver.unprepare, claim) == ""
            return False
        except AioRpcError:
            assert await self.driver.ended() == -9
            await self.serve()
            assert await error(self.driver.unprepare, claim) == ""
            return True
        finally:
            assert self.host.gpus[0].state.compute_mode == EXCLUSIVE
            assert self.host.smi_calls[-1:] in ((), (self.put_back,))

    @property
    def put_back(self):
        return f"compute-policy -i {self.host.gpus[0].uuid} --set-timeslice 0"


@pytest.fixture
async def trapped(nvidia):
    made = Trapped(nvidia)
    await made.serve()
    return made


@pytest.mark.timeout(600)
async def test_a_driver_killed_at_any_line_leaves_no_gpu_in_another_compute_mode(trapped):
    assert not await trapped.life(at=0)
    every = trapped.lines()
    assert len(set(every)) > 20, every
    for number, line in sample(enumerate(every, 1), of=14, turn=5):
        assert await trapped.life(at=number), line
    assert not await trapped.life(at=len(every) + 1)
