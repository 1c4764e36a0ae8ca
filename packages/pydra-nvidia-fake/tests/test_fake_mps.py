"""The control daemon for MPS as its second protocol has it: text, files, and what programs then see."""

from __future__ import annotations

import os
import signal
import stat
import subprocess

import pytest
from mps_tools import assert_ends, fake_host, mps

from pydra_nvidia_fake import Description

__all__ = ["fake_host", "mps"]

OLD, NEW, SENTENCES = "555.58.02", "580.95.05", "595.58.03"


def uuid(tool, at=0):
    return tool.host.gpus[at].uuid


def test_without_a_daemon_the_front_end_says_so_and_fails(mps):
    done = mps().run(say=["get_server_list"])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Cannot find MPS control daemon process\n"


def test_a_daemon_has_the_files_of_a_real_one_and_leaves_its_sockets_when_it_quits(mps):
    tool = mps()
    tool.start()
    pipes = tool.folder / "p"
    left = {"control", "control_lock", "control_privileged"}
    assert {path.name for path in pipes.iterdir()} == left | {"log", "nvidia-cuda-mps-control.pid"}
    assert stat.S_ISSOCK((pipes / "control").stat().st_mode)
    assert tool.host.mps.daemons == (tool.pid,)
    assert tool.say("quit") == ""
    assert {path.name for path in pipes.iterdir()} == left


def test_a_second_daemon_does_not_start_but_one_after_a_kill_does(mps):
    tool = mps()
    tool.start()
    again = tool.run("-d")
    assert again.returncode == 1
    assert again.stderr == "An instance of this daemon is already running\n"
    tool.kill()
    assert tool.run(say=["get_server_list"]).returncode == 1
    tool.start()
    assert tool.say("get_server_list") == ""


def test_a_daemon_ends_at_sigterm_without_tidying_up(mps):
    tool = mps()
    tool.start()
    tool.kill(signal.SIGTERM)
    assert (tool.folder / "p/nvidia-cuda-mps-control.pid").exists()


def test_a_daemon_in_the_foreground_is_the_process_that_was_started(mps):
    tool = mps()
    with subprocess.Popen(
        [tool.host.mps.tool, "-f"], env=tool.env, stdout=subprocess.PIPE, text=True
    ) as process:
        assert "Starting control daemon using socket" in process.stdout.readline()
        assert tool.pid == process.pid
        assert tool.say("quit") == ""
        assert process.wait(20) == 0


def test_commands_of_one_run_are_answered_in_order_and_rejected_ones_exit_with_0(mps):
    tool = mps("h200x8", NEW)
    tool.start()
    answers = tool.say("get_default_active_thread_percentage", "lspart", "get_server_status", "ps")
    assert answers.splitlines() == [
        "100.0",
        'Unknown command "lspart"',
        "A server PID is required",
        "Server not found",
    ]
    assert 'Unknown command "lspart"' in tool.log


def test_a_percentage_that_is_none_is_answered_with_the_one_that_still_holds(mps):
    tool = mps()
    tool.start()
    taken = {"33.333": "33.3", "24.25": "24.2", "0.04": "0.0", "12abc": "12.0", "100": "100.0"}
    for typed, shown in taken.items():
        lines = (
            f"set_default_active_thread_percentage {typed}",
            "get_default_active_thread_percentage",
        )
        assert tool.say(*lines) == f"{shown}\n" * 2, typed
    for wrong in ("0", "101", "-5", "abc", ""):
        assert tool.say(f"set_default_active_thread_percentage {wrong}") == "100.0\n", wrong
    assert "Invalid percentage, expected between (0.0, 100.0]" in tool.log


def test_sizes_are_read_as_the_real_one_reads_them_and_shown_with_loss(mps):
    tool = mps("h200x8", OLD)
    tool.start()
    pairs = {"10G": "10G", "7GB": "7G", "6": "6M", "1.5G": "1M", "5K": "5M", "1536M": "1G"}
    pairs |= {"900M": "900M", "143771M": "140G", "-4G": "17179869180G"}
    for typed, shown in pairs.items():
        lines = (
            f"set_default_device_pinned_mem_limit 0 {typed}",
            "get_default_device_pinned_mem_limit 0",
        )
        assert tool.say(*lines) == f"{shown}\n", typed
    for none in ("0M", "abc", ""):
        lines = (
            f"set_default_device_pinned_mem_limit 0 {none}",
            "get_default_device_pinned_mem_limit 0",
        )
        assert tool.say(*lines) == ""


def test_a_program_sees_the_defaults_as_they_were_when_its_server_started(mps):
    tool = mps()
    tool.start()
    tool.say(
        "set_default_active_thread_percentage 50",
        f"set_default_device_pinned_mem_limit {uuid(tool)} 8G",
    )
    first = tool.program().seen
    assert (first["sms"], first["total_sms"], first["memory"]) == (66, 132, 8 << 30)
    tool.say("set_default_active_thread_percentage 25")
    assert tool.seen()["sms"] == 66
    server = first["server"]
    assert tool.say("get_server_list", f"get_server_status {server}") == f"{server}\nACTIVE\n"
    tool.say(
        f"set_active_thread_percentage {server} 25", f"set_device_pinned_mem_limit {server} 0 2G"
    )
    later = tool.seen()
    assert (later["sms"], later["memory"]) == (32, 2 << 30)
    assert tool.say(f"get_active_thread_percentage {server}") == "25.0\n"
    assert tool.say(f"get_device_pinned_mem_limit {server} {uuid(tool)}") == "2G\n"


def test_defaults_are_lost_when_the_daemon_quits(mps):
    tool = mps()
    tool.start()
    tool.say("set_default_active_thread_percentage 50", "quit")
    tool.start()
    assert tool.say("get_default_active_thread_percentage") == "100.0\n"


def test_a_program_only_tightens_what_its_server_allows(mps):
    tool = mps()
    tool.start(CUDA_MPS_ACTIVE_THREAD_PERCENTAGE="50")
    tool.say("set_default_device_pinned_mem_limit 0 8G")
    wide = tool.seen(
        CUDA_MPS_ACTIVE_THREAD_PERCENTAGE="100", CUDA_MPS_PINNED_DEVICE_MEM_LIMIT="0=64G"
    )
    assert (wide["sms"], wide["memory"]) == (66, 8 << 30)
    tight = tool.seen(
        CUDA_MPS_ACTIVE_THREAD_PERCENTAGE="10",
        CUDA_MPS_PINNED_DEVICE_MEM_LIMIT=f"{uuid(tool)}=512MB",
    )
    assert (tight["sms"], tight["memory"]) == (12, 512 << 20)


def test_ordinals_are_of_what_the_daemon_sees(mps):
    tool = mps()
    tool.start(CUDA_VISIBLE_DEVICES=uuid(tool, 3))
    tool.say(
        "set_default_device_pinned_mem_limit 0 1G",
        f"set_default_device_pinned_mem_limit {uuid(tool)} 2G",
    )
    seen = tool.seen()
    assert (seen["gpu"], seen["memory"]) == (uuid(tool, 3), 1 << 30)
    assert tool.seen(CUDA_VISIBLE_DEVICES=uuid(tool))["error"] == 100


def test_programs_are_listed_with_their_server(mps):
    tool = mps()
    tool.start()
    program = tool.program()
    server, pid = program.seen["server"], program.process.pid
    assert tool.say(f"get_client_list {server}") == f"{pid}\n"
    header, row = tool.say("ps").splitlines()
    assert header.split() == ["PID", "ID", "SERVER", "DEVICE", "NAMESPACE", "COMMAND"]
    assert row.split()[:4] == [str(pid), "0", str(server), uuid(tool)[:22]]
    assert str(pid) in tool.say("get_device_client_list")
    assert uuid(tool, 7) in tool.say("device_query --csv")


def test_a_program_of_another_user_waits_for_those_of_the_first(mps):
    tool = mps()
    tool.start()
    first = tool.program("--uid", "1000")
    server = first.seen["server"]
    second = tool.program("--uid", "2000")
    while "push client to pending list" not in tool.log:
        os.sched_yield()
    assert first.end() == 0
    seen = second.seen
    assert seen["error"] == 0
    assert seen["server"] != server


def test_one_server_is_for_all_users_if_root_says_so(mps):
    tool = mps()
    refused = tool.run("-d", "-multiuser-server", FAKE_MPS_UID="1000")
    assert refused.returncode == 1
    assert "Only root user may enable -multiuser-server!" in refused.stdout
    tool.start("-multiuser-server")
    first, second = tool.program("--uid", "1000"), tool.program("--uid", "2000")
    assert first.seen["server"] == second.seen["server"]


def test_only_the_owner_changes_the_daemon(mps):
    tool = mps()
    tool.start()
    said = tool.say("set_default_active_thread_percentage 10", FAKE_MPS_UID="1000")
    assert said.startswith("Insufficient privileges for UID 1000.")
    assert tool.say("get_default_active_thread_percentage") == "100.0\n"


def test_a_fault_takes_all_programs_along_and_new_ones_wait_till_they_are_gone(mps):
    tool = mps()
    tool.start()
    faulty, innocent = tool.program(), tool.program()
    server = faulty.seen["server"]
    assert innocent.seen["error"] == 0
    faulty.fault()
    assert innocent.seen["error"] == faulty.seen["error"] == 719
    assert tool.say(f"get_server_status {server}") == "FAULT\n"
    assert tool.seen()["error"] == 807
    assert (faulty.end(), innocent.end()) == (1, 1)
    while tool.say(f"get_server_status {server}") == "FAULT\n":
        pass
    assert tool.seen()["error"] == 0


def test_programs_lose_their_gpu_with_the_daemon(mps):
    tool = mps()
    tool.start()
    program = tool.program()
    server = program.seen["server"]
    pidfd = os.pidfd_open(server)
    tool.kill()
    assert program.seen == {"error": 806}
    assert_ends(pidfd)


def test_without_a_daemon_a_program_runs_without_mps(mps):
    tool = mps()
    seen = tool.seen(CUDA_MPS_ACTIVE_THREAD_PERCENTAGE="10")
    assert (seen["mps"], seen["sms"], seen["memory"]) == (False, 132, None)


def test_in_exclusive_mode_nobody_gets_past_the_server(mps):
    tool = mps()
    for gpu in tool.host.gpus:
        gpu.state.compute_mode = 3
    tool.start()
    assert tool.program().seen["error"] == 0
    assert tool.seen(CUDA_MPS_PIPE_DIRECTORY="/nowhere")["error"] == 46
    other = tool.run("-d", CUDA_MPS_PIPE_DIRECTORY=f"{tool.folder}/other")
    assert other.returncode == 0
    assert tool.seen(CUDA_MPS_PIPE_DIRECTORY=f"{tool.folder}/other")["error"] == 807


def test_versions_know_different_options(mps):
    old, new, sentences = mps("t4x1", OLD), mps("t4x1", NEW), mps("t4x1", SENTENCES)
    assert (old.run("-v").returncode, old.run("--help").returncode) == (1, 0)
    assert "Binary version: 13000" in new.run("-v").stdout
    assert "Unrecognized option" in new.run("-d", "-S").stdout
    assert new.run(say=["get_server_list"]).returncode == 1
    sentences.start("-S")
    assert sentences.run("get_default_client_priority").stdout == "0\n"
    old.start()
    assert old.run("get_default_client_priority").returncode == 1


def test_a_new_daemon_needs_a_gpu_and_an_old_one_does_not(mps):
    old, new = mps("t4x1", OLD), mps("t4x1", NEW)
    for tool in (old, new):
        tool.host.lose(0)
    done = new.run("-d")
    assert (done.returncode, done.stdout, done.stderr) == (100, "", "")
    old.start()
    assert old.say("start_server -uid 0", "get_server_list") == ""
    assert "exited with status 1" in old.log


def test_a_machine_may_lack_the_tool_or_lie_about_its_version(mps):
    assert not mps("t4x1", installed=False).host.mps.tool.exists()
    lying = mps("t4x1", NEW, version=13020)
    assert "13020" in lying.run("-v").stdout
    lying.host.mps.can(static=True)
    lying.start("-S")
    assert "Partition" in lying.say("lspart")


def test_another_driver_brings_another_tool(mps):
    tool = mps("t4x1", NEW)
    tool.host.replace_driver(SENTENCES)
    assert "13020" in tool.run("-v").stdout


def test_static_partitions_have_what_lspart_says_and_not_chunks_times_size(mps):
    tool = mps("h200x8", "590.48.01")
    tool.start("-S", CUDA_VISIBLE_DEVICES="0")
    short, gpu = uuid(tool)[:12], uuid(tool)
    first = tool.say(f"sm_partition add {short} 10").strip()
    last = tool.say(f"sm_partition add {gpu} 6").strip()
    assert first.startswith(f"{gpu}/")
    rows = [line.split() for line in tool.say("lspart").splitlines()[2:]]
    assert rows == [
        [short, "-", "0", "16", "0", "132", "-"],
        [short, first.partition("/")[2], "-", "10", "-", "80", "-"],
        [short, last.partition("/")[2], "-", "6", "-", "52", "-"],
    ]
    assert tool.say(f"sm_partition add {gpu} 1").startswith("Failed to create")
    program = tool.program(CUDA_MPS_SM_PARTITION=last)
    assert program.seen["sms"] == 52
    assert tool.seen()["error"] == tool.seen(CUDA_MPS_SM_PARTITION=f"{gpu}/none")["error"] == 915
    assert "in use" in tool.say(f"sm_partition rm {gpu} {last.partition('/')[2]}")
    assert tool.say(f"sm_partition rm {first}") == ""
    assert "Yes" in tool.say("lspart")


def test_newer_tools_answer_in_a_sentence_and_leave_the_seventh_column(mps):
    tool = mps("t4x1", "610.10.01")
    tool.start("--static-partitioning")
    answer = tool.say(f"sm_partition add {uuid(tool)} 3").strip()
    assert answer.startswith(f"Partition {uuid(tool)}/")
    assert answer.endswith(" created")
    assert len(tool.say("lspart").splitlines()[2].split()) == 6
    assert "CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION" in tool.say(
        f"sm_partition add {uuid(tool)} 99"
    )


def test_a_fault_stays_in_its_partition_from_610_on(mps):
    tool = mps("t4x1", "610.10.01")
    tool.start("-S")
    ids = [tool.say(f"sm_partition add {uuid(tool)} 3").split()[1] for _ in range(2)]
    faulty, innocent = (tool.program(CUDA_MPS_SM_PARTITION=one) for one in ids)
    server = faulty.seen["server"]
    assert innocent.seen["sms"] == 12
    faulty.fault()
    assert faulty.seen["error"] == 719
    assert tool.seen(CUDA_MPS_SM_PARTITION=ids[1])["error"] == 0
    assert innocent.end() == 0
    assert tool.say(f"get_server_status {server}") == "FAULT\n"


def test_what_goes_wrong_is_said_beside_the_tool_and_mended(mps):
    tool = mps()
    tool.host.mps.starts_not("cannot", 7, times=1)
    failed = tool.run("-d")
    assert (failed.returncode, failed.stderr) == (7, "cannot")
    tool.start()
    tool.host.mps.refuse("set_default_active_thread_percentage", "no")
    assert tool.say("set_default_active_thread_percentage 10") == "no\n"
    tool.host.mps.mend()
    tool.host.mps.clamp(percent=40, memory=1 << 30)
    assert tool.say("set_default_active_thread_percentage 60") == "40.0\n"
    lines = ("set_default_device_pinned_mem_limit 0 9G", "get_default_device_pinned_mem_limit 0")
    assert tool.say(*lines) == "1G\n"
    tool.host.mps.admits_not(805, times=1)
    assert [tool.seen()["error"] for _ in range(2)] == [805, 0]
    tool.host.mps.die("get_server_list")
    assert tool.run(say=["get_server_list"]).returncode == 1
    assert tool.host.mps.daemons == ()
    assert tool.host.mps.calls[0] == "-d"


def test_a_command_can_hang_while_others_are_answered(mps):
    tool = mps()
    tool.start()
    tool.host.mps.hang("get_server_list")
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(
            [tool.host.mps.tool], env=tool.env, input=b"get_server_list\n", timeout=0.5, check=False
        )
    assert tool.say("get_default_client_priority") == "0\n"


def test_servers_can_fail_to_start_and_a_killed_one_takes_its_programs_along(mps):
    tool = mps()
    tool.start()
    tool.host.mps.serves_not(times=1)
    assert tool.say("start_server -uid 0", "get_server_list") == ""
    program = tool.program()
    os.kill(program.seen["server"], signal.SIGKILL)
    assert program.seen["error"] == 806
    while tool.say("get_server_list"):
        pass
    done = tool.run(say=["quit"])
    assert done.returncode == 1


def test_quit_waits_for_programs_unless_it_is_given_a_time(mps):
    tool = mps()
    tool.start()
    program = tool.program()
    assert program.seen["error"] == 0
    assert tool.run(say=["quit -t 0"]).returncode == 1
    assert program.seen["error"] == 806


def test_a_terminated_program_ends(mps):
    tool = mps()
    tool.start()
    program = tool.program()
    server = program.seen["server"]
    assert tool.say(f"terminate_client {server} {program.process.pid}") == "0\n"
    assert program.seen["error"] == 810
    assert tool.say(f"terminate_client {server} 1") == "Invalid process 1!\n"


def test_a_machine_that_says_what_no_tool_can_is_refused(tmp_path):
    path = tmp_path / "odd.toml"
    path.write_text('about = ""\nmodel = "t4"\ntopology = "one"\nbus = [0]\n[mps]\nflies = true\n')
    with pytest.raises(ValueError, match=r"mps\.flies"):
        Description.load(path)
