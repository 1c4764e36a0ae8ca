"""`pydra demo` as a person runs it: its own process, its output, its exit code, and what it leaves."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from leftovers import processes_of
from thoroughness import sample

import pydra_pizza.demo
from pydra_core.cli import main

ROOT = Path(__file__).parents[2]
PIZZAS = Path(pydra_pizza.demo.__file__).parent


@pytest.fixture
def temp():
    """A temporary directory of its own for the demo, short enough for its sockets."""
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        yield Path(folder)


async def demo(temp, *arguments, columns=80, **environ):
    process = await start(temp, *arguments, columns=columns, **environ)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def start(temp, *arguments, columns=80, **environ):
    variables = {"TMPDIR": str(temp), "COLUMNS": str(columns)} | environ
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "pydra_core",
        "demo",
        *arguments,
        env={k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "NO_COLOR")}
        | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


def clean(temp):
    return list(temp.iterdir()) == [] and processes_of(temp) == []


async def test_the_demo_shows_every_hop_and_what_the_pods_print(temp):
    code, out, err = await demo(temp)
    assert (code, err) == (0, "")
    steps = [
        "Driver dra.pizza registered with the kubelet of node laptop",
        "laptop-dra.pizza-0000  laptop  dra.pizza  laptop",
        "Applied 2-whole-pizza.yaml",
        "giardino of laptop (8 slices)",
        "v1 NodePrepareResources, 1 claim:",
        "PIZZA_WITH=vegetarian, mushrooms, basil, extra cheese",
        "One giardino on wholegrain dough: vegetarian, mushrooms, basil,",
        "Applied 3-shared-pizza.yaml",
        "diavola of laptop (4 slices)",
        "4 slices of diavola: salami, chili.",
        "Applied 4-impossible-pizza.yaml",
        "pod hedy   waits, as told: Unschedulable",
        "0/1 nodes are available: 1 cannot allocate all claims.",
        "pydra explain pod/hedy says:",
        'selector 0: toppings.contains("ananas") is false; toppings is',
        "Cheapest change:",
        "left       0 claims, 0 spec files",
        "3 of 3 pods succeeded, 1 waiting, as told",
    ]
    positions = [out.find(step) for step in steps]
    assert -1 not in positions, steps[positions.index(-1)]
    assert positions == sorted(positions)
    assert re.search(r"NodePrepareResources, 1 claim: \d+\.\d ms", out)
    assert out.count("pod grace  4 slices") == out.count("pod linus  4 slices") == 1
    assert clean(temp)
    assert "\x1b" not in out  # this is no terminal
    assert max(len(line) for line in out.splitlines()) <= 80


async def test_on_a_terminal_there_is_colour_unless_it_is_refused(temp):
    assert "\x1b[" in await _on_a_terminal(temp)
    assert "\x1b[3" not in await _on_a_terminal(temp, NO_COLOR="1")


async def _on_a_terminal(temp, **environ):
    master, slave = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "pydra_core", "demo"),
        env=os.environ | {"TMPDIR": str(temp), "TERM": "xterm", "COLUMNS": "80"} | environ,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    reading = asyncio.ensure_future(asyncio.to_thread(_read_all, master))
    assert await process.wait() == 0
    return await reading


def _read_all(fd):
    chunks = []
    try:
        while chunk := os.read(fd, 65536):
            chunks.append(chunk)
    except OSError:  # the other end is closed
        pass
    os.close(fd)
    return b"".join(chunks).decode()


async def test_the_output_follows_the_order_in_the_manifest(temp, tmp_path):
    for file in PIZZAS.glob("[12]*.yaml"):
        shutil.copy(file, tmp_path)
    order = tmp_path / "2-whole-pizza.yaml"
    order.write_text(
        order.read_text()
        .replace("mushroom", "spinach")
        .replace('contains("basil")', 'contains("olive")')
        .replace("extraCheese: true", "extraCheese: false")
    )
    code, out, _ = await demo(temp, "--manifests", str(tmp_path))
    assert code == 0
    assert "One bianca on thick dough: vegetarian, spinach, olives. 8" in " ".join(out.split())


async def test_the_readmes_driver_of_at_most_30_lines_runs_as_the_readme_says(temp, tmp_path):
    text = (ROOT / "README.md").read_text()
    for name, body in re.findall(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", text, re.DOTALL):
        (tmp_path / name).write_text(body)
    assert len((tmp_path / "ports.py").read_text().splitlines()) <= 30
    (command,) = re.findall(r"uv run (pydra demo --start .*?)`", text)
    program = shutil.which("python", path=str(Path(sys.executable).parent))
    arguments = ["--start", f"{program} {tmp_path / 'ports.py'}", "--manifests", str(tmp_path)]
    assert command == 'pydra demo --start "python ports.py" --manifests .'
    code, out, _ = await demo(temp, *arguments)
    assert code == 0
    assert "listening on 9005" in out


async def events_of(temp, *arguments):
    code, out, err = await demo(temp, "-o", "json", *arguments)
    return code, [json.loads(line) for line in out.splitlines()], err


async def test_as_json_the_demo_is_one_event_a_line_in_the_order_of_time(temp):
    code, events, err = await events_of(temp)
    assert (code, err) == (0, "")
    kinds = [event["kind"] for event in events]
    assert kinds[:3] == ["DriverStarted", "SlicesPublished", "Applied"]
    assert kinds[-4:] == ["PodWaits", "PodExplained", "CleanedUp", "Finished"]
    assert {"ClaimAllocated", "DriverCalled", "SpecWritten", "PodFinished"} <= set(kinds)
    times = [event["at"] for event in events]
    assert times == sorted(times)
    assert times[0] > 0
    assert events[-1] | {"at": 0} == {
        "kind": "Finished", "at": 0, "succeeded": 3, "failed": 0, "waiting": 1,
    }  # fmt: skip
    assert events[-4]["reason"] == "Unschedulable"
    assert 'toppings.contains("ananas") is false' in events[-3]["text"]
    assert clean(temp)


async def test_as_json_an_error_is_the_last_event_too(temp, tmp_path):
    (tmp_path / "bad.yaml").write_text("{not yaml")
    code, events, err = await events_of(temp, "--manifests", str(tmp_path))
    assert code == 1
    assert [event["kind"] for event in events] == ["Broken"]
    assert events[0]["reason"] == "InvalidManifest"
    assert "manifest bad.yaml: is no YAML" in events[0]["message"]
    assert "manifest bad.yaml: is no YAML" in err
    code, events, _ = await events_of(temp, "--driver", "burger")
    assert (code, events[-1]["reason"]) == (2, "InvalidConfiguration")


async def test_as_json_an_interruption_is_the_last_event(temp):
    process = await start(temp, "-o", "json")
    await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")
    assert json.loads(out.splitlines()[-1])["kind"] == "Interrupted"
    assert clean(temp)


async def test_a_pod_that_was_expected_to_wait_and_runs_is_an_error(temp, tmp_path):
    for file in PIZZAS.glob("[14]*.yaml"):
        shutil.copy(file, tmp_path)
    order = tmp_path / "4-impossible-pizza.yaml"
    order.write_text(order.read_text().replace("ananas", "basil"))
    code, _, err = await demo(temp, "--manifests", str(tmp_path))
    assert code == 1
    assert "pod default/hedy: expected to wait (Unschedulable), but runs on laptop" in err
    assert clean(temp)


MOMENTS = [
    "Driver dra.pizza",
    "1-classes",
    "allocated",
    "gRPC",
    "CDI spec",
    "pod ada",
    "3-shared",
    "pod hedy",
    "Deleted",
    "3 of 3",
]


SIGNALS = [signal.SIGINT, signal.SIGTERM]
CUTS = [(m, number) for i, m in enumerate(MOMENTS) for number in sample(SIGNALS, of=2, turn=i)]


@pytest.mark.parametrize(("moment", "number"), CUTS)
async def test_ctrl_c_at_any_moment_leaves_nothing(temp, moment, number):
    process = await start(temp)
    async for line in process.stdout:
        if moment in line.decode():
            break
    process.send_signal(number)
    await process.communicate()
    # The last line is printed when everything is gone already: from then on a signal only ends the interpreter.
    assert process.returncode in ((0, 130, -number) if moment == MOMENTS[-1] else (0, 130))
    assert clean(temp)


async def test_a_second_ctrl_c_does_not_disturb_the_cleaning_up(temp):
    process = await start(temp)
    await process.stdout.readline()
    await process.stdout.readline()
    for _ in range(3):
        process.send_signal(signal.SIGINT)
    await process.communicate()
    assert process.returncode == 130
    assert clean(temp)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{not yaml", "is no YAML"),
        ("apiVersion: v1\nkind: Pdo\nmetadata: {name: x}\n", "knows no Pdo in v1"),
        (
            "apiVersion: resource.k8s.io/v1\nkind: DeviceClass\nmetadata: {name: intelCpu}\nspec: {}\n",
            "DeviceClass intelCpu: refused",
        ),
        (
            (
                "apiVersion: resource.k8s.io/v1\nkind: DeviceClass\nmetadata: {name: x}\n"
                "spec: {selectors: [{cel: {expression: device.drivr}}]}\n"
            ),
            "undefined field 'drivr'",
        ),
    ],
)
async def test_a_bad_manifest_is_named_and_everything_is_cleaned_up(temp, tmp_path, text, says):
    (tmp_path / "bad.yaml").write_text(text)
    code, _, err = await demo(temp, "--manifests", str(tmp_path))
    assert code == 1
    assert "manifest bad.yaml" in err
    assert says in err
    assert "Traceback" not in err
    assert clean(temp)


async def test_a_driver_that_dies_at_once_is_shown_with_its_last_words(temp, tmp_path):
    (tmp_path / "d.py").write_text("raise SystemExit('no kitchen here')")
    (tmp_path / "x.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: default}\n"
    )
    code, _, err = await demo(
        temp, "--start", f"{sys.executable} {tmp_path / 'd.py'}", "--manifests", str(tmp_path)
    )
    assert code == 1
    assert "no kitchen here" in err
    assert clean(temp)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a\n- list\n", "document 1: is list"),
        ("apiVersion: v1\nkind: Pod\n", "metadata.name: is missing"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_named_before_anything_starts(
    capsys, tmp_path, text, says
):
    (tmp_path / "bad.yaml").write_text(text)
    code, err = refused(capsys, "--manifests", str(tmp_path))
    assert code == 1
    assert "manifest bad.yaml" in err
    assert says in err


def refused(capsys, *arguments):
    """The exit code and the error of a demo that does not get as far as a cluster."""
    with pytest.raises(SystemExit) as ended:
        main(argv=["demo", *arguments])
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--driver", "burger"], "'burger' brings no demo; those that do: nvidia, pizza"),
        (["--start", "python x.py"], "needs --manifests"),
        (["--no-such-flag"], "unrecognized arguments"),
    ],
)
def test_a_wrong_command_line_exits_with_2(capsys, arguments, says):
    code, err = refused(capsys, *arguments)
    assert code == 2
    assert says in err


async def test_grpc_is_loaded_by_the_cluster_alone():
    """It writes to standard error when a process ends in which it was merely loaded."""
    code = "import sys, pydra_testbed._commands.demo; sys.exit('grpc' in sys.modules)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0


async def test_a_pod_that_fails_is_told_with_its_reason(temp, tmp_path):
    for file in PIZZAS.glob("[12]*.yaml"):
        shutil.copy(file, tmp_path)
    order = tmp_path / "2-whole-pizza.yaml"
    order.write_text(order.read_text().replace("echo", "exit 3; echo"))
    code, out, _ = await demo(temp, "--manifests", str(tmp_path))
    assert code == 1
    assert "phase Failed: " in out
    assert "exit code 3" in " ".join(out.split())
    assert clean(temp)


async def test_a_driver_command_that_does_not_exist_is_named(temp, tmp_path):
    shutil.copy(PIZZAS / "1-classes.yaml", tmp_path)
    code, _, err = await demo(temp, "--start", "/nope/driver", "--manifests", str(tmp_path))
    assert code == 1
    assert "/nope/driver cannot be started" in err
    assert "Traceback" not in err
    assert clean(temp)


async def test_a_manifest_without_a_namespace_means_default(temp, tmp_path):
    for file in PIZZAS.glob("[12]*.yaml"):
        text = file.read_text().replace("  namespace: default\n", "")
        (tmp_path / file.name).write_text(text)
    code, out, err = await demo(temp, "--manifests", str(tmp_path))
    assert (code, err) == (0, "")
    assert "allocated  claim default/ada-dinner-" in out


RAISING = """
from pydra_core import Device, Driver, Inventory, main


class OvenDriver(Driver):
    name = "oven.example.com"

    async def discover(self):
        return Inventory(Device("oven"))

    async def prepare(self, claim):
        raise ValueError("the oven is cold")


main(OvenDriver)
"""
COLD_ORDER = """
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: oven}
spec: {selectors: [{cel: {expression: device.driver == "oven.example.com"}}]}
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: oven}
spec: {devices: {requests: [{name: r, exactly: {deviceClassName: oven}}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: ada}
spec:
  resourceClaims: [{name: oven, resourceClaimName: oven}]
  containers:
    - {name: c, image: busybox, command: [sh, -c, true], resources: {claims: [{name: oven}]}}
"""


async def test_a_prepare_that_raised_is_told_with_what_the_driver_logged(temp, tmp_path):
    (tmp_path / "oven.py").write_text(RAISING)
    (tmp_path / "order.yaml").write_text(COLD_ORDER)
    command = f"{sys.executable} {tmp_path / 'oven.py'}"
    process = await start(temp, "--start", command, "--manifests", str(tmp_path))
    told = []
    async for line in process.stdout:  # the kubelet would try again after a minute
        told.append(line.decode())
        if "ValueError: the oven is cold" in told[-1]:
            break
    process.send_signal(signal.SIGINT)
    await process.communicate()
    text = "".join(told)
    assert "NodePrepareResources, 1 claim" in text
    assert "in prepare" in text[text.index("driver log") :]
    assert clean(temp)


async def test_a_temporary_folder_too_deep_for_sockets_is_named_with_what_to_do(temp):
    deep = temp / ("deep-" * 12)
    deep.mkdir()
    code, _, err = await demo(temp, TMPDIR=str(deep))
    assert code == 2
    assert f"TMPDIR {deep} is too long" in err
    assert "for example TMPDIR=/tmp" in err
    assert list(deep.iterdir()) == []


async def test_errors_begin_with_the_command_a_person_typed(temp):
    code, _, err = await demo(temp, "--driver", "burger")
    assert code == 2
    assert err.startswith("python -m pydra_core: demo: driver 'burger' brings no demo")


async def gone(temp):
    """Return once nothing is left of a testbed that was killed."""
    while not clean(temp):  # noqa: ASYNC110 - no event: who cleans up has no link to anybody
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("moment", ["Driver dra.pizza", "gRPC"])
async def test_after_kill_9_driver_and_folder_are_gone_as_well(temp, moment):
    process = await start(temp)
    async for line in process.stdout:
        if moment in line.decode():
            break
    process.kill()
    await process.communicate()
    await gone(temp)


async def test_what_nobody_could_collect_is_collected_by_the_next_demo(temp):
    process = await start(temp)
    await process.stdout.readline()
    await process.stdout.readline()
    (folder,) = temp.glob("pydra-*")
    for janitor in processes_with(f"janitor.py\0{folder}"):
        os.kill(janitor, signal.SIGKILL)
    process.kill()
    await process.communicate()
    assert folder.is_dir()
    assert processes_of(temp) != []
    code, _, _ = await demo(temp)
    assert code == 0
    assert clean(temp)


def processes_with(text):
    """IDs of the processes whose command line holds `text`."""
    return [
        int(file.parent.name)
        for file in Path("/proc").glob("[0-9]*/cmdline")
        if text.encode() in _content(file)
    ]


def _content(file):
    try:
        return file.read_bytes()
    except OSError:  # gone meanwhile
        return b""
