"""Containers as processes: how they end, and that nothing of them stays."""

import asyncio
import os
import signal
import sys

import pytest

from pydra_testbed.runtime import ContainerError, LogNotFoundError, StartError

# A container that ignores SIGTERM and has children in sessions of their own; it writes their PIDs.
# Kubernetes turns $$ into $, so the shell's own PID is written with four.
STUBBORN = """
trap '' TERM
sleep 1000 & echo $!
setsid sleep 1001 & echo $!
(setsid sh -c 'echo $$$$; sleep 1002 & wait' & wait) &
echo ready
while :; do sleep 1; done
"""


async def until_gone(pid):
    """Return when a process, anybody's, has ended."""
    try:
        ended = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(ended, gone.set)
    await gone.wait()
    asyncio.get_running_loop().remove_reader(ended)
    os.close(ended)


async def first_lines(bench, last):
    """The log of a running container up to a line."""
    text = ""
    async for chunk in bench.runtime.read("default", "p", "main", follow=True):
        text += chunk.decode()
        if last in text and text.count("\n") >= 4:
            return text.split("\n")
    raise AssertionError(text)


async def stubborn(bench):
    container = await bench.start("sh", "-c", STUBBORN)
    lines = await first_lines(bench, "ready")
    return container, [int(line) for line in lines if line.isdigit()]


async def test_a_container_reports_its_exit_code(bench):
    assert await bench.output("sh", "-c", "echo out; echo err >&2; exit 3") == (3, "out\nerr\n")


async def test_a_container_runs_in_its_working_directory(bench, tmp_path):
    assert await bench.output("pwd", "-P", workingDir=str(tmp_path)) == (0, f"{tmp_path}\n")


async def test_sigterm_ends_a_container_that_does_not_handle_it(bench):
    container = await bench.start("sleep", "1000")
    container.terminate()
    assert await container.wait() == 128 + signal.SIGTERM


async def test_sigterm_can_be_handled(bench):
    container = await bench.start(
        "sh", "-c", "trap 'echo bye; exit 5' TERM; echo ready; sleep 1000 & wait"
    )
    async for _ in bench.runtime.read("default", "p", "main", follow=True):
        break
    container.terminate()
    assert await container.wait() == 5
    assert await bench.log() == "ready\nbye\n"


async def test_killing_a_container_ends_all_its_processes(bench):
    container, pids = await stubborn(bench)
    assert len(pids) == 3
    assert await container.kill() == 128 + signal.SIGKILL
    for pid in [container.pid, *pids]:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_what_the_first_process_leaves_behind_ends_with_it(bench):
    container = await bench.start("sh", "-c", "setsid sleep 1000 & echo $!")
    assert await container.wait() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(await bench.log()), 0)


async def test_closing_the_runtime_ends_every_container(bench):
    _, pids = await stubborn(bench)
    await bench.runtime.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_testbed_killed_with_sigkill_takes_its_containers_with_it(tmp_path):
    program = """
import asyncio, sys
from pathlib import Path
from pydra_testbed.runtime import ContainerRequest, Runtime
async def main():
    runtime = Runtime(Path(sys.argv[1]), [])
    pod = {"metadata": {"name": "p", "namespace": "default", "uid": "u1"}, "spec": {}}
    container = {"name": "main", "command": ["sh", "-c", sys.argv[2]]}
    started = await runtime.start(ContainerRequest(pod, container))
    print(started.pid)
    text = ""
    async for chunk in runtime.read("default", "p", "main", follow=True):
        text += chunk.decode()
        if "ready" in text and text.count("\\n") >= 4:
            break
    print(*(word for word in text.split() if word.isdigit()), "end", flush=True)
    await asyncio.sleep(1000)
asyncio.run(main())
"""
    testbed = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        str(tmp_path / "other"),
        STUBBORN,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        pids = (await testbed.stdout.readuntil(b"end\n")).decode().split()[:-1]
    finally:
        testbed.kill()
        await testbed.wait()
    assert len(pids) == 4
    for pid in pids:
        await until_gone(int(pid))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            ["nowhere-to-be-found"],
            'exec: "nowhere-to-be-found": executable file not found in $PATH',
        ),
        (["/no/such/program"], 'exec: "/no/such/program": no such file or directory'),
        (["/etc"], 'exec: "/etc": permission denied'),
    ],
)
async def test_a_program_that_cannot_be_started_is_named(bench, command, words):
    with pytest.raises(StartError, match="unable to start container process") as raised:
        await bench.start(*command)
    assert words in raised.value.message


async def test_a_working_directory_that_is_missing_is_named(bench):
    with pytest.raises(StartError, match=r'chdir to cwd \("/no/such"\)'):
        await bench.start("true", workingDir="/no/such")


async def test_a_runtime_that_cannot_write_refuses_the_container(bench, tmp_path):
    (tmp_path / "run").write_text("a file where the runtime's directory should be")
    with pytest.raises(ContainerError, match="container not created") as raised:
        await bench.start("true")
    assert raised.value.reason == "CreateContainerError"


async def test_following_a_log_ends_when_the_container_ends(bench):
    container = await bench.start("sh", "-c", "echo one; sleep 0.2; echo two")
    _, text = await asyncio.gather(container.wait(), bench.log(follow=True))
    assert text == "one\ntwo\n"


async def test_a_restarted_container_has_a_log_of_its_own(bench):
    await bench.output("echo", "first")
    await bench.output("echo", "second", attempt=1)
    assert await bench.log() == "second\n"


async def test_a_container_that_never_started_has_no_log(bench):
    with pytest.raises(LogNotFoundError, match="default/p"):
        await bench.log()


async def test_a_runtime_started_anew_still_has_the_logs_of_the_one_before(bench, tmp_path):
    from pydra_testbed.runtime import Runtime

    await bench.output("echo", "kept")
    again = Runtime(tmp_path / "run", [])
    chunks = again.read("default", "p", "main", follow=True)
    assert b"".join([chunk async for chunk in chunks]) == b"kept\n"


async def test_a_forgotten_pod_leaves_no_files(bench, tmp_path):
    await bench.output("echo", "gone")
    bench.runtime.forget_pod(bench.pod())
    assert [path for path in (tmp_path / "run").rglob("*") if path.is_file()] == []
    with pytest.raises(LogNotFoundError):
        await bench.log()
