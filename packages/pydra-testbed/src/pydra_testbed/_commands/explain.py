"""`pydra explain`: why a pod or claim gets no devices, from a cluster or from files."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import msgspec
import yaml

from pydra_core.command import FINDING, FINE, Command
from pydra_core.errors import ConfigError
from pydra_testbed.explain.explaining import explain
from pydra_testbed.explain.model import Explanation, Verdict
from pydra_testbed.explain.subject import Target
from pydra_testbed.explain.text import Limits, in_words
from pydra_testbed.explain.world import World

_TARGET = re.compile(
    r"(?P<kind>pods?|po|resourceclaims?|claims?)(?:\.resource\.k8s\.io)?/(?P<name>[a-z0-9][a-z0-9.-]*)"
)


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "target", nargs="?", default="", metavar="pod/NAME|claim/NAME",
        help="what to explain; may be left out when the files hold one pod or claim",
    )  # fmt: skip
    parser.add_argument("-n", "--namespace", default="default", help="its namespace")
    parser.add_argument("--kubeconfig", default="", metavar="FILE", help="which cluster to read")
    parser.add_argument(
        "-f", "--filename", action="append", type=Path, default=[], metavar="FILE",
        help="read objects from YAML files instead of a cluster",
    )  # fmt: skip
    parser.add_argument(
        "--slices", action="append", type=Path, default=[], metavar="FILE",
        help="read slices from a file, as `pydra discover -o yaml` prints them",
    )  # fmt: skip
    parser.add_argument("--all", action="store_true", help="show every node and device")
    parser.add_argument("-o", "--output", choices=("text", "json", "yaml"), default="text")


def _run(arguments: Namespace) -> int:
    files = [*arguments.filename, *arguments.slices]
    if files:
        from pydra_testbed.explain import files as reader  # noqa: PLC0415 (an API server is not always needed)

        world = asyncio.run(reader.read_world(files, arguments.namespace))
    else:
        _target(arguments.target, arguments.namespace)  # refused before the cluster is asked
        world = asyncio.run(_cluster(arguments))
    target = _target(arguments.target or _only_one(world, arguments), arguments.namespace)
    explanation = explain(target, world)
    _print(explanation, arguments)
    is_fine = explanation.verdict in (Verdict.ALLOCATED, Verdict.SATISFIABLE)
    return FINE if is_fine else FINDING


async def _cluster(arguments: Namespace) -> World:
    from pydra_core._api import access  # noqa: PLC0415 (TLS and HTTP are not needed for files)
    from pydra_core._api.client import KubeClient  # noqa: PLC0415 (same)
    from pydra_testbed.explain.cluster_reader import read_world  # noqa: PLC0415 (same)

    client = KubeClient(access.find(_kubeconfig(arguments.kubeconfig), os.environ))
    try:
        return await read_world(client, arguments.namespace)
    finally:
        await client.close()


def _kubeconfig(flag: str) -> str:
    """The flag, the variable, the usual file if it is there; else the pod's service account is used."""
    usual = Path.home() / ".kube" / "config"
    return flag or os.environ.get("KUBECONFIG", "") or (str(usual) if usual.is_file() else "")


def _target(text: str, namespace: str) -> Target:
    match = _TARGET.fullmatch(text)
    if match is None:
        what = f"{text!r} is neither pod/NAME nor" if text else "say what to explain: pod/NAME or"
        raise ConfigError(f"explain: {what} claim/NAME", key="target", source="command line")
    return Target("pod" if match["kind"].startswith("po") else "claim", namespace, match["name"])


def _only_one(world: World, arguments: Namespace) -> str:
    """The one pod of the files, or the one claim if they hold no pod."""
    for kind, objects in (("pod", world.pods), ("claim", world.claims)):
        names = [
            key.partition("/")[2] for key in objects if key.startswith(f"{arguments.namespace}/")
        ]
        if len(names) == 1:
            return f"{kind}/{names[0]}"
        if names:
            raise ConfigError(
                f"explain: the files hold several {kind}s, say which: {', '.join(names)}",
                key="target",
                source="command line",
            )
    return ""


def _print(explanation: Explanation, arguments: Namespace) -> None:
    if arguments.output == "text":
        limits = Limits.none() if arguments.all else Limits()
        sys.stdout.write(in_words(explanation, limits) + "\n")
        return
    body = msgspec.to_builtins(explanation)
    if arguments.output == "json":
        json.dump(body, sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
    else:
        yaml.safe_dump(body, sys.stdout, sort_keys=False, allow_unicode=True)


command = Command("explain", "say why a pod or claim gets no devices", _configure, _run)
