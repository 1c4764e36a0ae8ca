"""The third protocol of the control daemon for MPS: servers and namespaces by name, and what programs in them see."""

from __future__ import annotations

import pytest
from mps_tools import fake_host, mps

__all__ = ["fake_host", "mps"]

DRIVER = "615.20.01"


@pytest.fixture
def tool(mps):
    """A daemon for all users, and a server."""
    made = mps("h200x8", DRIVER)
    made.start("-p", "3", "-m")
    done(made, "server", "create", "shared", "--uid=0")
    return made


def done(tool, *arguments, **env):
    answer = tool.run(*arguments, **env)
    assert answer.returncode == 0, answer.stdout
    return answer.stdout


def refused(tool, *arguments, **env):
    answer = tool.run(*arguments, **env)
    assert answer.returncode == 1
    assert answer.stdout.startswith("Error: ")
    return answer.stdout


def space(tool, name, *limits):
    """Make a namespace; returns its folder."""
    done(tool, "namespace", "create", name, "--server=shared")
    if limits:
        done(tool, "namespace", "set", name, "--server=shared", *limits)
    return done(tool, "namespace", "get", name, "shared", "pipe-directory").strip()


def test_older_drivers_do_not_know_it(mps):
    assert "Unrecognized option" in mps("t4x1", "610.10.01").run("-d", "-p", "3").stdout


def test_the_environment_chooses_the_protocol_and_a_daemon_dictates_it(mps):
    tool = mps("t4x1", DRIVER)
    tool.start(CUDA_MPS_PROTOCOL_VERSION="3")
    assert done(tool, "server", "list", "--format=csv,noheader") == ""
    assert tool.run(say=["get_server_list"]).stdout.startswith("Error: ")
    assert tool.run("-q").returncode == 0
    tool.start()
    assert tool.run("-p", "3", "server", "list").stdout == 'Unknown command "server"\n'


def test_namespaces_of_one_server_have_limits_of_their_own(tool):
    quarter = space(tool, "quarter", "--active-thread-percentage=25", "--pinned-memory-limit=4G")
    half = space(tool, "half", "--active-thread-percentage=50")
    assert quarter == f"{tool.folder}/p/shared/quarter"
    seen = tool.seen("--uid", "1000", CUDA_MPS_PIPE_DIRECTORY=quarter)
    assert (seen["namespace"], seen["sms"], seen["memory"]) == ("quarter", 32, 4 << 30)
    for asked, sms in (("100", 32), ("10", 12)):
        more = {"CUDA_MPS_PIPE_DIRECTORY": quarter, "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": asked}
        assert tool.seen(**more)["sms"] == sms
    assert tool.seen(CUDA_MPS_PIPE_DIRECTORY=half)["sms"] == 66
    whole = tool.seen(CUDA_MPS_PIPE_DIRECTORY=f"{tool.folder}/p/shared")
    assert (whole["namespace"], whole["sms"], whole["memory"]) == ("default", 132, None)
    done(tool, "server", "set", "shared", "--active-thread-percentage=10")
    assert tool.seen(CUDA_MPS_PIPE_DIRECTORY=f"{tool.folder}/p/shared/default")["sms"] == 12
    rows = done(tool, "namespace", "list", "--server=shared", "--format=csv,noheader").splitlines()
    assert rows[1] == f"quarter,shared,Ready,4G,25,0,{quarter}"
    assert done(tool, "namespace", "get", "quarter", "shared", "pinned_memory_limit") == "4G\n"


def test_a_namespace_with_programs_is_neither_changed_nor_deleted(tool):
    folder = space(tool, "busy", "--active-thread-percentage=25")
    program = tool.program(CUDA_MPS_PIPE_DIRECTORY=folder)
    assert program.seen["error"] == 0
    refused(tool, "namespace", "set", "busy", "--server=shared", "--active-thread-percentage=50")
    refused(tool, "namespace", "delete", "busy", "--server=shared")
    row = done(tool, "client", "list", "--format=csv,noheader").split(",")
    assert (row[0], row[3]) == (str(program.process.pid), "shared/busy (0)")
    assert done(tool, "client", "get", row[0], "maws-ns") == "busy\n"
    done(tool, "namespace", "delete", "busy", "--server=shared", "--force")
    assert program.seen["error"] == 806
    assert not (tool.folder / "p/shared/busy").exists()


def test_names_and_limits_that_make_no_sense_are_refused(tool):
    refused(tool, "namespace", "create", "Not-a-name", "--server=shared")
    refused(tool, "namespace", "create", "lost", "--server=none")
    space(tool, "here")
    refused(tool, "namespace", "create", "here", "--server=shared")
    for wrong in (
        "--active-thread-percentage=0",
        "--active-thread-percentage=12.5",
        "--pinned-memory-limit=4",
    ):
        refused(tool, "namespace", "set", "here", "--server=shared", wrong)
    refused(tool, "namespace", "set", "here", "--server=shared")
    refused(tool, "namespace", "get", "here", "shared", "colour")
    refused(tool, "server", "create", "mine", "--uid=1000")
    refused(tool, "nonsense", "list")


def test_only_owners_change_namespaces_and_everybody_reads_them(tool):
    space(tool, "theirs")
    said = refused(
        tool,
        "namespace",
        "set",
        "theirs",
        "--server=shared",
        "--active-thread-percentage=100",
        FAKE_MPS_UID="60000",
    )
    assert "Insufficient privileges for UID 60000. 'NAMESPACE SET' requires server owner." in said
    assert "theirs" in done(tool, "namespace", "list", FAKE_MPS_UID="60000")


def test_without_multiuser_mode_each_user_has_a_server(mps):
    tool = mps("t4x1", DRIVER)
    tool.start("-p", "3")
    servers = {tool.seen("--uid", uid)["server"] for uid in ("1000", "2000")}
    assert len(servers) == 2
    rows = done(tool, "server", "list", "--format=csv").splitlines()
    assert [row.split(",")[0] for row in rows] == ["name", "uid_1000", "uid_2000"]
    assert tool.seen(CUDA_MPS_PIPE_DIRECTORY=f"{tool.folder}/p/uid_1000")["error"] == 805


def test_partitions_are_taken_by_whoever_names_them_whatever_the_namespace(tool):
    folder = space(tool, "small", "--active-thread-percentage=25")
    gpu = tool.host.gpus[0].uuid
    made = done(
        tool, "sm-partition", "create", "large", "--server=shared", "--device=0", "--chunks=15"
    )
    sentence, assignment = made.splitlines()
    assert sentence == f"SM partition 'large' created on device {gpu} (sm-count=120)"
    partition = assignment.removeprefix("CUDA_MPS_SM_PARTITION=")
    env = {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_SM_PARTITION": partition}
    program = tool.program(**env)
    assert program.seen["sms"] == 120
    refused(tool, "sm-partition", "delete", "large", "--server=shared", "--device=0")
    listed = done(
        tool, "sm-partition", "list", "--server=shared", "--format=csv,noheader"
    ).splitlines()
    assert listed == [
        f"shared,{gpu},large,15,120,false,created,{partition.partition('/')[2]}",
        f"shared,{gpu},-,1,8,-,unallocated,-",
    ]
    assert program.end() == 0


def test_a_path_too_long_for_a_socket_is_refused(tool):
    server = "s" * 40
    done(tool, "server", "create", server)
    refused(tool, "namespace", "create", "n" * 64, f"--server={server}")
    failed = tool.run("-d", CUDA_MPS_PIPE_DIRECTORY=str(tool.folder / ("l" * 100)))
    assert (failed.returncode, failed.stdout, failed.stderr) == (1, "", "")


def test_the_table_of_clients_has_no_room_for_long_numbers(tool):
    program = tool.program(CUDA_MPS_PIPE_DIRECTORY=f"{tool.folder}/p/shared")
    pid = program.process.pid if program.seen["error"] == 0 else 0
    shown = done(tool, "client", "list").splitlines()[1].split()[0]
    assert shown == (str(pid) if pid < 10**6 else f"{str(pid)[:3]}...")
    assert done(tool, "device", "list", "--format=csv,noheader").startswith("0,shared,")
    done(tool, "client", "terminate", str(pid))
    assert program.seen["error"] == 810


def test_a_server_goes_when_it_is_deleted(tool):
    program = tool.program(CUDA_MPS_PIPE_DIRECTORY=f"{tool.folder}/p/shared")
    assert program.seen["error"] == 0
    refused(tool, "server", "delete", "shared")
    done(tool, "server", "delete", "shared", "--force")
    assert program.seen["error"] == 806
    refused(tool, "server", "get", "shared", "pid")


def test_a_refused_command_may_exit_with_0(tool):
    tool.host.mps.refuse("namespace create", "Error: no")
    assert done(tool, "namespace", "create", "never", "--server=shared") == "Error: no\n"
    assert "never" not in done(tool, "namespace", "list")
