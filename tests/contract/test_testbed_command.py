"""`pydra testbed up`, `status` and `down` as a person runs them, and what they leave: nothing."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import tempfile
import urllib.request
from pathlib import Path

import pytest
from leftovers import processes_of

import pydra_pizza.demo

PIZZAS = Path(pydra_pizza.demo.__file__).parent


@pytest.fixture
def temp():
    """A temporary directory that is the runtime directory too, short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
async def testbed(temp):
    """Runs `pydra testbed ...`; afterwards whatever is left is stopped."""

    async def run(*arguments):
        process = await begin(temp, *arguments)
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    yield run
    await run("down")


async def begin(temp, *arguments):
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "pydra_core", "testbed", *arguments),
        env=os.environ | {"TMPDIR": str(temp), "XDG_RUNTIME_DIR": str(temp), "COLUMNS": "120"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


def left(temp):
    return [f.name for f in temp.iterdir()], processes_of(temp)


async def nothing_left(temp):
    while left(temp) != ([], []):  # noqa: ASYNC110 - no event: who cleans up has no link to anybody
        await asyncio.sleep(0.01)


def slices_at(url):
    with urllib.request.urlopen(f"{url}/apis/resource.k8s.io/v1/resourceslices") as answer:
        return json.load(answer)["items"]


async def test_up_leaves_a_cluster_with_drivers_until_down(temp, testbed):
    code, out, err = await testbed("up", "--nodes", "2", "--driver", "pizza")
    assert (code, err) == (0, "")
    (url,) = re.findall(r"API server (http://\S+),", out)
    (kubeconfig,) = re.findall(r"export KUBECONFIG=(\S+)", out)
    assert url in await asyncio.to_thread(Path(kubeconfig).read_text)
    assert {s["spec"]["nodeName"] for s in slices_at(url)} == {"node-1", "node-2"}
    code, out, _ = await testbed("status")
    assert code == 0
    assert re.search(r"node-1 +yes +dra.pizza +\d+ +0", out)
    code, out, _ = await testbed("down")
    assert code == 0
    assert "stopped; nothing is left of it" in out
    assert left(temp) == ([], [])


async def test_status_as_json_has_what_a_driver_needs_to_serve_on_a_node(testbed):
    await testbed("up")
    code, out, _ = await testbed("status", "-o", "json")
    status = json.loads(out)
    (node,) = status["nodes"]
    assert (code, node["name"], node["ready"], node["driver_process"]) == (
        0,
        "node-1",
        True,
        "none",
    )
    environment = node["environment"]
    assert set(environment) == {"KUBECONFIG", "NODE_NAME", "KUBELET_ROOT", "CDI_DIR"}
    assert status["memory"] > 10_000_000
    driver = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pydra_pizza", "run"),
        env=os.environ | environment,
        stderr=asyncio.subprocess.DEVNULL,
    )
    while not slices_at(status["url"]):  # noqa: ASYNC110 - over HTTP as a user would look
        await asyncio.sleep(0.01)
    driver.terminate()
    await driver.wait()


async def test_without_a_testbed_status_is_a_finding_and_down_is_not(temp, testbed):
    assert await testbed("status") == (
        1, "no testbed is running; `pydra testbed up` starts one\n", "",
    )  # fmt: skip
    assert json.loads((await testbed("status", "-o", "json"))[1]) == {"running": False}
    assert await testbed("down") == (0, "no testbed is running\n", "")
    assert left(temp) == ([], [])


async def test_a_second_up_is_refused_and_names_the_first(testbed):
    await testbed("up")
    code, _, err = await testbed("up")
    assert code == 1
    assert re.search(r"one runs already \(process \d+, http://", err)
    assert (await testbed("status"))[0] == 0


async def test_of_two_at_the_same_moment_one_gets_it(temp, testbed):
    results = await asyncio.gather(*(testbed("up") for _ in range(2)))
    assert sorted(code for code, _, _ in results) == [0, 1]
    (refused,) = [err for code, _, err in results if code]
    assert "one runs already" in refused
    assert "Traceback" not in refused
    await testbed("down")
    assert left(temp) == ([], [])


async def test_after_kill_9_nothing_runs_and_down_removes_the_rest(temp, testbed):
    kubeconfig = temp / "config"
    await testbed("up", "--driver", "pizza", "--kubeconfig", str(kubeconfig))
    status = json.loads((await testbed("status", "-o", "json"))[1])
    os.kill(status["pid"], signal.SIGKILL)
    while processes_of(temp):  # noqa: ASYNC110 - no event: the janitor has no link to anybody
        await asyncio.sleep(0.01)
    assert (await testbed("status"))[0] == 1
    assert kubeconfig.exists()
    assert (await testbed("down"))[:2] == (0, "no testbed is running\n")
    assert left(temp) == ([], [])


async def test_up_works_again_after_kill_9(testbed):
    await testbed("up")
    first = json.loads((await testbed("status", "-o", "json"))[1])
    os.kill(first["pid"], signal.SIGKILL)
    while (await testbed("status"))[0] == 0:
        pass
    assert (await testbed("up"))[0] == 0
    second = json.loads((await testbed("status", "-o", "json"))[1])
    assert second["pid"] != first["pid"]


async def test_in_the_foreground_a_signal_ends_it_and_leaves_nothing(temp):
    process = await begin(temp, "up", "--foreground", "--driver", "pizza")
    assert b"testbed ready" in await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert left(temp) == ([], [])


async def test_a_closed_terminal_does_not_end_one_in_the_background(testbed):
    await testbed("up")
    status = json.loads((await testbed("status", "-o", "json"))[1])
    assert os.getpgid(status["pid"]) == status["pid"] == os.getsid(status["pid"])


async def test_a_driver_that_dies_is_shown_with_its_last_words(temp, testbed, tmp_path):
    (tmp_path / "d.py").write_text("raise SystemExit('no kitchen here')")
    code, _, err = await testbed("up", "--driver", f"{sys.executable} {tmp_path / 'd.py'}")
    assert code == 1
    assert "no kitchen here" in err
    assert "Traceback" not in err
    assert left(temp) == ([], [])


async def test_manifests_are_applied_and_bad_ones_refused_before_anything_starts(
    temp, testbed, tmp_path
):
    (tmp_path / "1.yaml").write_text((PIZZAS / "1-classes.yaml").read_text())
    assert (await testbed("up", "--manifests", str(tmp_path)))[0] == 0
    await testbed("down")
    (tmp_path / "2.yaml").write_text("{not yaml")
    code, _, err = await testbed("up", "--manifests", str(tmp_path))
    assert code == 1
    assert "manifest 2.yaml: is no YAML" in err
    assert left(temp) == ([], [])


async def test_somebody_elses_kubeconfig_is_never_overwritten(testbed, tmp_path):
    config = tmp_path / "config"
    config.write_text("apiVersion: v1\nkind: Config\n")
    code, _, err = await testbed("up", "--kubeconfig", str(config))
    assert code == 2
    assert "no testbed's kubeconfig; name another file" in err
    assert config.read_text() == "apiVersion: v1\nkind: Config\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["up", "--nodes", "0"], "'0' is no number of nodes"),
        (["up", "--port", "65536"], "is no port"),
        (["up", "--feature-gates", "DRADeviceTaints"], "write NAME=true or NAME=false"),
        (
            ["up", "--feature-gates", "DRATypo=true"],
            "DRATypo: no feature gate it knows; those are DRA",
        ),
        ([], "ACTION"),
    ],
)
async def test_a_wrong_command_line_exits_with_2_and_says_why(testbed, arguments, says):
    code, _, err = await testbed(*arguments)
    assert code == 2
    assert says in err


async def test_a_runtime_directory_open_to_others_is_refused(temp, testbed):
    (temp / "pydra").mkdir(mode=0o755)
    code, _, err = await testbed("up")
    assert code == 2
    assert "is open to other users" in err
    (temp / "pydra").rmdir()
