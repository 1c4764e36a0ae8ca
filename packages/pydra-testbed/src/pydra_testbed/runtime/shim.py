"""One container's parent process: what containerd's shim is on a node.

Started by `process.py` as `python -I -S shim.py BUNDLE`, never imported for its code. It runs
`process` of the bundle's config.json in a session of its own. A byte on fd 0 terminates the first
process; end-of-file kills everything. End-of-file is what the kernel sends when the testbed dies,
SIGKILL included, so no container outlives it. Reports go to fd 1 (`started PID`, `failed TEXT`,
`exited CODE`), the container's output to fd 2, its log.

When the first process ends, everything it left behind is killed, as the end of a PID namespace would.
Only cheap modules of the standard library: this file is on the path of every container start.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

# Search errors after which the next directory of PATH is tried.
_NOT_HERE = (FileNotFoundError, NotADirectoryError, PermissionError)


def main(bundle: str) -> int:
    """Run the bundle's process to its end and report how it ended."""
    with os.fdopen(os.open(f"{bundle}/config.json", os.O_RDONLY), encoding="utf-8") as file:
        process = json.load(file)["process"]
    env = dict(entry.split("=", 1) for entry in process["env"])
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    pid, failure = _spawn(process["args"], env, process["cwd"])
    if failure:
        _report(f"failed {failure}")
        return 0
    _report(f"started {pid}")
    code = _supervise(pid)
    _end_descendants()
    _report(f"exited {code}")
    return 0


def _spawn(args: list[str], env: dict[str, str], cwd: str) -> tuple[int, str]:
    """Fork and exec; a failure before exec comes back through a pipe that exec closes."""
    reader, writer = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            _become(args, env, cwd, parent)
        except OSError as error:
            os.write(writer, str(error.strerror).encode())
        finally:
            os._exit(127)
    os.close(writer)
    failure = b"".join(iter(lambda: os.read(reader, 4096), b"")).decode()
    os.close(reader)
    if failure:
        os.waitpid(pid, 0)
    return pid, failure


def _become(args: list[str], env: dict[str, str], cwd: str, parent: int) -> None:
    """Turn the forked child into the container's first process."""
    os.setsid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(127)
    # Python ignores these two; programs expect the defaults.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    try:
        os.chdir(cwd)
    except OSError as error:
        text = f'chdir to cwd ("{cwd}") set in config.json failed: {_words(error)}'
        raise OSError(error.errno, text) from error
    _exec(args, env)


def _exec(args: list[str], env: dict[str, str]) -> None:
    """Replace this process by the program, or raise with the words runc uses."""
    name = args[0]
    directories = [""] if "/" in name else [f"{d or '.'}/" for d in env.get("PATH", "").split(":")]
    for directory in directories:
        try:
            os.execve(directory + name, args, env)  # noqa: S606 starting the container's program is the purpose
        except OSError as error:
            if directory and isinstance(error, _NOT_HERE):
                continue
            raise OSError(error.errno, f'exec: "{name}": {_words(error)}') from error
    raise FileNotFoundError(2, f'exec: "{name}": executable file not found in $PATH')


def _supervise(pid: int) -> int:
    """Wait for the first process while taking orders; return its exit code, 128 + n for signal n."""
    ended = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(0, select.POLLIN)
    while ended not in (ready := {fd for fd, _ in poll.poll()}):
        if ready and os.read(0, 1):
            os.kill(pid, signal.SIGTERM)
        else:
            os.killpg(pid, signal.SIGKILL)
            poll.unregister(0)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _end_descendants() -> None:
    """Kill and reap whatever was left; orphans are this process's children (subreaper)."""
    while children := _children():
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        for child in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, 0)


def _children() -> list[int]:
    own = os.getpid()
    with os.scandir("/proc") as entries:
        return [int(e.name) for e in entries if e.name.isdigit() and _parent(e.name) == own]


def _parent(pid: str) -> int:
    try:
        with os.fdopen(os.open(f"/proc/{pid}/stat", os.O_RDONLY), "rb") as file:
            # The name in parentheses may hold anything; state and parent follow the last one.
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _words(error: OSError) -> str:
    return os.strerror(error.errno or 0).lower()


def _report(line: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(1, line.replace("\n", " ").encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
