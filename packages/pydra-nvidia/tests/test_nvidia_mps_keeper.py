"""The keeper beside what goes wrong around it: dead daemons, lost files, odd requests, a tool that hangs or lies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat
import sys
from pathlib import Path

import pytest
from mps_keeper_world import GIB, KeeperWorld, fake_host, keeper_world, killed, tenant
from nvidia_world import until

from pydra_core.errors import ClaimError, DeviceError, HostError, VendorError, VendorTimeoutError
from pydra_nvidia.mps.client import Keeper

__all__ = ["fake_host", "keeper_world"]


@pytest.fixture
async def world(keeper_world):
    """A machine that knows percentages alone, with its keeper."""
    made = keeper_world()
    await made.start()
    return made


async def asked(world, line):
    """The answer to a line that no client of ours would write."""
    reader, writer = await asyncio.open_unix_connection(world.folder / "keeper.sock")
    writer.write(line)
    writer.write_eof()
    answer = json.loads(await reader.readline())
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return answer


def is_running(pid):
    """Whether a process does more than wait to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def test_a_dead_daemon_is_found_at_once_and_stays_dead_until_its_tenants_have_left(world):
    one = tenant(1, sms=66, compute_mode="default")
    await world.keeper.attach(world.gpu(), one)
    killed((await world.state()).pid)
    state = await world.state()
    assert (state.alive, state.pid, state.tenants) == (False, None, (one,))
    assert "SIGKILL" in state.why
    for late in (one, tenant(2, sms=33)):
        with pytest.raises(
            DeviceError, match=r"died under its tenants: .*SIGKILL.*delete the pods of ns/claim-1"
        ):
            await world.keeper.attach(world.gpu(), late)  # fmt: skip
    left = await world.keeper.detach(world.uuid, "uid-1")
    assert (left.empty, left.compute_mode) == (True, "default")
    two = await world.keeper.attach(world.gpu(), tenant(2, sms=33))
    assert (await world.sees(two.env))["error"] == 0


async def test_what_a_daemon_left_running_is_ended_before_the_next_one(world):
    server = world.host.mps.tool.with_name("nvidia-cuda-mps-server")
    server.write_text("#!/usr/bin/env python3\nimport signal\nsignal.pause()\n")
    for dies in (True, False):
        one = await world.keeper.attach(world.gpu(), tenant(1, sms=66))
        _, seen = await world.program(one.env)
        if dies:
            killed((await world.state()).pid)
        assert is_running(seen["server"])
        assert (await world.keeper.detach(world.uuid, "uid-1")).empty
        await until(lambda server=seen["server"]: not is_running(server))


async def test_a_keeper_that_was_killed_finds_its_daemon_and_its_tenants_again(world):
    one = tenant(1, sms=66, memory=10 * GIB)
    before = await world.keeper.attach(world.gpu(), one)
    program, _ = await world.program(before.env)
    pid = (await world.state()).pid
    await world.kill()
    with pytest.raises(HostError, match=r"nobody answers there.*mps\.enabled"):
        await world.keeper.daemons()
    await world.start()
    state = await world.state()
    assert (state.pid, state.alive, state.clients, state.tenants) == (pid, True, 1, (one,))
    assert await world.keeper.attach(world.gpu(), one) == before
    killed(pid)
    state = await world.state()
    assert (state.alive, state.clients) == (False, None)
    assert "it ended" in state.why
    assert program.returncode is None or program.returncode


async def test_a_daemon_that_went_with_the_keeper_s_container_is_said_to_be_dead(world):
    await world.keeper.attach(world.gpu(), tenant(1, sms=66))
    pid = (await world.state()).pid
    await world.kill()
    killed(pid)
    await world.start()
    state = await world.state()
    assert not state.alive
    assert "container was restarted" in state.why
    assert (await world.keeper.detach(world.uuid, "uid-1")).empty


async def test_another_process_with_the_daemon_s_number_is_left_alone(world):
    await world.keeper.attach(world.gpu(), tenant(1, sms=66))
    note = world.own / "daemon.json"
    await world.kill()
    killed(json.loads(note.read_text())["pid"])
    waits = (sys.executable, "-c", "input()", "nvidia-cuda-mps-control")
    bystander = await asyncio.create_subprocess_exec(*waits, stdin=asyncio.subprocess.PIPE)
    world.clients.append(bystander)
    note.write_text(json.dumps({"pid": bystander.pid, "started": 1}))
    await world.start()
    assert not (await world.state()).alive
    assert (await world.keeper.detach(world.uuid, "uid-1")).empty
    assert bystander.returncode is None


async def test_a_stop_leaves_daemons_with_tenants_and_takes_the_socket_away(world):
    one = await world.keeper.attach(world.gpu(), tenant(1, sms=66))
    pid = (await world.state()).pid
    assert await world.stop() == 0
    assert world.host.mps.daemons == (pid,)
    assert (await world.sees(one.env))["error"] == 0
    assert not (world.folder / "keeper.sock").exists()
    await world.start()
    assert (await world.keeper.detach(world.uuid, "uid-1")).empty
    assert world.host.mps.daemons == ()


async def test_a_second_keeper_of_a_folder_does_not_start(world):
    second = KeeperWorld(world.host, world.folder)
    with pytest.raises(AssertionError, match="another keeper has"):
        await second.start()
    assert await second.process.wait() == 2
    assert await world.keeper.daemons() == ()


async def test_only_the_keeper_s_user_may_ask_and_tenants_pass_through_to_their_pipe(world):
    await world.keeper.attach(world.gpu(), tenant(1, sms=66))
    modes = {p: stat.S_IMODE((world.folder / p).stat().st_mode) for p in ("", "keeper.sock", world.uuid, f"{world.uuid}/roster.json", f"{world.uuid}/log", f"{world.uuid}/pipe")}  # fmt: skip
    assert [*modes.values()] == [0o711, 0o600, 0o711, 0o600, 0o700, 0o1777]


ODD = {
    b"": "no line of its protocol",
    b"hello\n": "no line of its protocol",
    b'{"version": 2, "do": "daemons"}\n': "speaks version 2",
    b'{"version": 1, "do": "reboot"}\n': "does not understand",
    b'{"version": 1, "do": "daemons", "verbose": true}\n': "does not understand",
    b'{"version": 1, "do": "detach", "gpu": "../../etc", "claim": "x"}\n': "is no UUID",
    b"x" * (2 << 20) + b"\n": "more than 1048576 bytes",
}


async def test_odd_requests_are_answered_with_the_reason(world):
    for line, why in ODD.items():
        assert why in (await asked(world, line))["refusal"]["text"]
    assert await world.keeper.daemons() == ()


@pytest.mark.parametrize("content", [b"", b'{"format": 2}'])
async def test_an_unreadable_roster_is_set_aside_and_its_programs_go_on(world, content):
    one = await world.keeper.attach(world.gpu(), tenant(1, sms=66))
    program, _ = await world.program(one.env)
    await world.kill()
    (world.own / "roster.json").write_bytes(content)
    await world.start()
    assert (world.own / "roster.json.unreadable").read_bytes() == content
    state = await world.state()
    assert (state.alive, state.clients, state.tenants) == (True, 1, ())
    assert "roster was lost" in state.why
    with pytest.raises(DeviceError, match="roster was lost"):
        await world.keeper.attach(world.gpu(), tenant(2, sms=33))
    assert not (await world.keeper.detach(world.uuid, "uid-1")).empty
    program.stdin.close()
    await program.wait()
    assert (await world.keeper.detach(world.uuid, "uid-1")).empty
    assert (await world.keeper.attach(world.gpu(), tenant(2, sms=33))).sms == 33


async def test_a_tool_that_hangs_costs_one_answer_and_not_the_keeper(keeper_world):
    world = keeper_world()
    await world.start("--patience", "3")
    await world.keeper.attach(world.gpu(), tenant(1, sms=66))
    world.host.mps.hang("set_default_active_thread_percentage")
    with pytest.raises(
        VendorTimeoutError,
        match=r"set_default_active_thread_percentage 100.*does not end within 3 s",
    ):
        await world.keeper.attach(world.gpu(), tenant(2))  # fmt: skip
    pid = world.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children")
    await until(children.read_text, lambda there: len(there.split()) == 1)  # the daemon
    world.host.mps.mend()
    assert [t.claim for t in (await world.state()).tenants] == ["uid-1"]
    assert (await world.keeper.attach(world.gpu(), tenant(2, sms=33))).percent == 25
    assert not (await world.keeper.detach(world.uuid, "uid-2")).empty
    world.host.mps.hang("*")
    assert (await world.keeper.detach(world.uuid, "uid-1")).empty
    assert world.host.mps.daemons == ()


@pytest.mark.parametrize("command", ["set_default_active_thread_percentage", "set_default_device_pinned_mem_limit"])  # fmt: skip
async def test_a_refusal_with_exit_status_0_is_found_by_its_effect(world, command):
    await world.keeper.attach(world.gpu(), tenant(1, sms=33, memory=GIB))
    world.host.mps.refuse(command, "a sentence that says it was refused")
    with pytest.raises(VendorError, match=r"was set default.* to .*, and answers"):
        await world.keeper.attach(world.gpu(), tenant(2, sms=66, memory=2 * GIB))
    assert [t.claim for t in (await world.state()).tenants] == ["uid-1"]
    world.host.mps.mend()
    assert (await world.keeper.attach(world.gpu(), tenant(2, sms=66, memory=2 * GIB))).sms == 66
    world.host.mps.refuse(command)
    assert not (await world.keeper.detach(world.uuid, "uid-2")).empty
    assert (await world.keeper.detach(world.uuid, "uid-1")).empty
    with pytest.raises(VendorError, match=r"was set default.* to .*, and answers"):
        await world.keeper.attach(world.gpu(), tenant(2, sms=66, memory=2 * GIB))
    assert world.host.mps.daemons == ()


async def test_a_tool_that_takes_less_than_it_was_told_is_not_believed(world):
    world.host.mps.clamp(percent=40)
    with pytest.raises(HostError, match=r"MPS does not work on this node.*answers '40"):
        await world.keeper.attach(world.gpu(), tenant(1, sms=66))
    assert world.host.mps.daemons == ()


async def test_a_first_tenant_that_cannot_be_held_leaves_no_daemon(world):
    await world.keeper.capabilities(world.gpu())
    world.host.mps.refuse("set_default_active_thread_percentage", "no")
    with pytest.raises(VendorError, match="was set default_active_thread_percentage"):
        await world.keeper.attach(world.gpu(), tenant(1, sms=66))
    assert world.host.mps.daemons == ()


async def test_without_the_tool_the_reason_is_said_and_the_keeper_stays(world):
    tool = world.host.mps.tool
    tool.rename(tool.with_name("elsewhere"))
    for ask in (world.keeper.capabilities(world.gpu()), world.keeper.attach(world.gpu(), tenant(1, sms=66))):  # fmt: skip
        with pytest.raises(HostError, match="has no nvidia-cuda-mps-control; install"):
            await ask
    assert (await world.keeper.detach(world.uuid, "uid-1")).empty
    tool.with_name("elsewhere").rename(tool)
    assert (await world.keeper.capabilities(world.gpu())).enforcement == "mps-percent"


async def test_a_daemon_that_does_not_start_is_told_in_its_own_words(world):
    world.host.mps.starts_not("no space for MPS", 3)
    with pytest.raises(HostError, match=r"does not stay: it exited with 3: no space for MPS"):
        await world.keeper.attach(world.gpu(), tenant(1, sms=66))
    world.host.mps.mend()
    assert (await world.keeper.attach(world.gpu(), tenant(1, sms=66))).percent == 50


async def test_gpus_do_not_wait_for_each_other(keeper_world):
    world = keeper_world()
    await world.start("--patience", "30")
    other = world.gpu(1)
    await world.keeper.attach(world.gpu(), tenant(1, sms=66))
    await world.keeper.attach(other, tenant(9, sms=66))
    world.host.mps.hang("set_default_device_pinned_mem_limit", times=1)
    slow = asyncio.ensure_future(world.keeper.attach(world.gpu(), tenant(2, memory=GIB)))
    log = world.own / "log/control.log"
    await until(lambda: "set_default_device_pinned_mem_limit" in log.read_text())
    assert (await world.keeper.attach(other, tenant(3, sms=33))).sms == 33
    assert not slow.done()
    await world.kill()
    with pytest.raises(HostError, match="ended before it answered"):
        await slow


async def test_logs_of_a_daemon_are_kept_short_and_go_on(world):
    await world.keeper.attach(world.gpu(), tenant(1, sms=66))
    log = world.own / "log/control.log"
    with log.open("ab") as file:
        file.write(b"a line\n" * (2 << 17) + b"the last line\n")
    await world.state()
    assert b"the last line" in log.with_name("control.log.before").read_bytes()
    world.tell("get_server_list")
    assert 0 < len(log.read_bytes().strip(b"\0")) < 1 << 20


async def test_requests_that_come_together_are_done_one_after_another(world):
    many = [tenant(number, sms=2 * number, memory=number * GIB) for number in range(1, 6)]
    came = await asyncio.gather(*(world.keeper.attach(world.gpu(), one) for one in many))
    assert [a.sms for a in came] == [one.sms for one in many]
    assert {t.claim for t in (await world.state()).tenants} == {one.claim for one in many}
    assert world.tell("get_default_device_pinned_mem_limit 0").strip() == "5G"
    went = await asyncio.gather(*(world.keeper.detach(world.uuid, one.claim) for one in many))
    assert sum(left.empty for left in went) == 1
    assert world.host.mps.daemons == ()


async def test_nobody_at_the_socket_says_what_to_start(tmp_path):
    with pytest.raises(HostError, match=r"nobody answers there.*mps\.enabled"):
        await Keeper(tmp_path).daemons()


async def test_before_volta_nobody_can_be_held_and_sms_are_refused(world):
    old = world.gpu(compute_capability="6.1")
    found = await world.keeper.capabilities(old)
    assert (found.enforcement, found.unit, found.most) == ("none", 0, 0)
    with pytest.raises(ClaimError, match=r"compute capability 6\.1: limits need 7\.0"):
        await world.keeper.attach(old, tenant(1, sms=1))
    assert world.host.mps.calls == ()
