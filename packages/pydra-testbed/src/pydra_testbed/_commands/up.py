"""`pydra testbed up`: a cluster that stays, in the background or here."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from pydra_core.command import FINE

if TYPE_CHECKING:
    from pydra_testbed.testbed.place import Place, State
    from pydra_testbed.testbed.serving import Wish

HELP = "start a cluster in the background"
_HIGHEST_PORT = 65535


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("--nodes", type=_count, default=1, metavar="N", help="how many nodes (1)")
    parser.add_argument(
        "--kubeconfig", type=Path, metavar="PATH", help="where to write its kubeconfig"
    )
    parser.add_argument(
        "--driver", default="", metavar="CMD",
        help="run this on each node: the name of an installed driver, or a command",
    )  # fmt: skip
    parser.add_argument(
        "--manifests", type=Path, metavar="DIR", help="apply the .yaml files of this folder"
    )
    parser.add_argument(
        "--feature-gates", type=_gates, default={}, metavar="NAME=true|false,...",
        help="switch feature gates of Kubernetes 1.36",
    )  # fmt: skip
    parser.add_argument(
        "--port", type=_port, default=0, metavar="N", help="the API server's port (a free one)"
    )
    parser.add_argument("--foreground", action="store_true", help="stay; Ctrl-C stops it")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more")
    parser.add_argument("--ready-fd", type=int, default=0, help=SUPPRESS)


def run(arguments: Namespace) -> int:
    """Exit code 1: one runs already, or the driver or a manifest failed."""
    from pydra_testbed.testbed import background  # noqa: PLC0415 (other commands start without it)
    from pydra_testbed.testbed.place import Place  # noqa: PLC0415 (same)

    place = Place(os.environ)
    arguments.kubeconfig = (arguments.kubeconfig or place.kubeconfig).absolute()
    if arguments.foreground:
        return _foreground(arguments, place)
    _check(arguments)
    outcome = background.start(place, _flags(arguments))
    if isinstance(outcome, background.Failed):
        sys.stderr.write(outcome.text)
        return outcome.code
    _tell(outcome, arguments)
    return FINE


def _foreground(arguments: Namespace, place: Place) -> int:
    from pydra_core._telemetry import logs  # noqa: PLC0415 (other commands start without it)
    from pydra_testbed.testbed.serving import serve  # noqa: PLC0415 (same)

    def ready(state: State) -> None:
        if arguments.ready_fd:
            os.write(arguments.ready_fd, b"ready\n")
            os.close(arguments.ready_fd)
        else:
            _tell(state, arguments)
            sys.stdout.flush()

    logs.configure("info" if arguments.verbose else "error", "text")
    asyncio.run(serve(_wish(arguments), place, ready))
    return FINE


def _wish(arguments: Namespace) -> Wish:
    from dataclasses import replace  # noqa: PLC0415 (other commands start without it)

    from pydra_testbed.cluster import QUICK  # noqa: PLC0415 (same)
    from pydra_testbed.manifests import read_folder  # noqa: PLC0415 (same)
    from pydra_testbed.testbed.serving import Wish  # noqa: PLC0415 (same)

    names = tuple(f"node-{number}" for number in range(1, arguments.nodes + 1))
    settings = replace(QUICK, nodes=names, gates=arguments.feature_gates, port=arguments.port)
    manifests = read_folder(arguments.manifests) if arguments.manifests else ()
    return Wish(settings, _driver(arguments.driver), manifests, arguments.kubeconfig)


def _check(arguments: Namespace) -> None:
    """What can be refused without starting a process is refused here."""
    from pydra_testbed.manifests import read_folder  # noqa: PLC0415 (other commands start without it)
    from pydra_testbed.testbed.serving import check_kubeconfig  # noqa: PLC0415 (same)

    check_kubeconfig(arguments.kubeconfig)
    if arguments.manifests:
        read_folder(arguments.manifests)


def _driver(text: str) -> tuple[str, ...]:
    if not text:
        return ()
    if text in {entry.name for entry in entry_points(group="pydra.drivers")}:
        return (sys.executable, "-m", "pydra_core", "run", "--driver", text)
    return (*shlex.split(text), "run")


def _flags(arguments: Namespace) -> list[str]:
    """The same wish for the process in the background."""
    gates = ",".join(f"{name}={str(on).lower()}" for name, on in arguments.feature_gates.items())
    given = {
        "--nodes": str(arguments.nodes),
        "--kubeconfig": str(arguments.kubeconfig),
        "--driver": arguments.driver,
        "--manifests": str(arguments.manifests.absolute()) if arguments.manifests else "",
        "--feature-gates": gates,
        "--port": str(arguments.port),
    }
    flags = [f"{name}={value}" for name, value in given.items() if value]
    return [*flags, *(["-v"] if arguments.verbose else [])]


def _tell(state: State, arguments: Namespace) -> None:
    from pydra_testbed.testbed.status import environment  # noqa: PLC0415 (other commands start without it)

    nodes = ", ".join(node.name for node in state.nodes)
    lines = [
        f"testbed ready: API server {state.url}, nodes {nodes}",
        "",
        f"  export KUBECONFIG={shlex.quote(state.kubeconfig)}",
        "  kubectl get nodes,resourceslices",
    ]
    if not arguments.driver:
        variables = environment(state, state.nodes[0])
        words = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
        lines += [
            "",
            "a driver of yours on its first node:",
            "",
            f"  {words} python my_driver.py run",
        ]
    stop = "Ctrl-C" if arguments.foreground else "pydra testbed down"
    lines += ["", f"`pydra testbed status` shows how it is, {stop} stops it and leaves nothing"]
    sys.stdout.write("\n".join(lines) + "\n")


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"{text!r} is no number of nodes: 1 or more")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _HIGHEST_PORT:
        raise ArgumentTypeError(f"{text!r} is no port: 0 to {_HIGHEST_PORT}")
    return int(text)


def _gates(text: str) -> dict[str, bool]:
    gates = {}
    for item in filter(None, text.split(",")):
        name, _, value = item.partition("=")
        if value not in ("true", "false"):
            raise ArgumentTypeError(f"{item!r}: write NAME=true or NAME=false")
        gates[name] = value == "true"
    return gates
