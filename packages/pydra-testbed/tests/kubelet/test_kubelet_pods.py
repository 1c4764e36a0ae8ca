"""The life of a pod: phases, restarts, deletion, and what its status says."""

import asyncio
import os
import signal

import pytest

from pydra_testbed.kubelet import KubeletSettings
from pydra_testbed.objects import ObjectRef, Patch

# Ignores SIGTERM; tells its PID (Kubernetes turns $$ into $) once it does.
STUBBORN = "trap '' TERM; echo $$$$ > {}; while :; do sleep 1; done"


def state(pod, index=0):
    return pod["status"]["containerStatuses"][index]["state"]


def conditions(pod):
    return {c["type"]: c["status"] for c in pod["status"]["conditions"]}


async def test_a_running_pod_is_ready(node):
    await node.start()
    await node.pod()
    pod = await node.until_phase("Running")
    status = pod["status"]["containerStatuses"][0]
    assert status["ready"]
    assert status["started"]
    assert status["restartCount"] == 0
    assert status["containerID"].startswith("pydra-testbed://")
    assert set(status["state"]) == {"running"}
    assert conditions(pod) == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
        "PodScheduled": "True",
    }
    assert pod["status"]["podIP"] == pod["status"]["hostIP"] == "127.0.0.1"
    assert pod["status"]["startTime"]


@pytest.mark.parametrize(
    ("code", "policy", "phase"),
    [(0, "Never", "Succeeded"), (3, "Never", "Failed"), (0, "OnFailure", "Succeeded")],
)
async def test_a_pod_ends_as_its_container_and_policy_say(node, code, policy, phase):
    await node.start()
    await node.pod(command=("sh", "-c", f"exit {code}"), restartPolicy=policy)
    pod = await node.until_phase(phase)
    assert state(pod)["terminated"]["exitCode"] == code
    assert state(pod)["terminated"]["reason"] == ("Error" if code else "Completed")
    assert conditions(pod)["Ready"] == "False"


async def test_a_container_that_fails_is_started_again_on_failure(node, tmp_path):
    await node.start()
    once = f"test -e {tmp_path}/done && exit 0; touch {tmp_path}/done; exit 1"
    await node.pod(command=("sh", "-c", once), restartPolicy="OnFailure")
    pod = await node.until_phase("Succeeded")
    status = pod["status"]["containerStatuses"][0]
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 1


async def test_restarts_back_off_from_10_seconds_doubling_to_5_minutes(stepped):
    await stepped.start(KubeletSettings(heartbeat_period=10_000))
    await stepped.pod(command=("false",))
    pauses = {10: "10s", 20: "20s", 40: "40s", 80: "1m20s", 160: "2m40s", 300: "5m0s"}
    for restarts, pause in enumerate([*pauses, 300], start=1):
        waiting = await stepped.until_waiting("CrashLoopBackOff", restarts=restarts)
        words = f"back-off {pauses[pause]} restarting failed container=main pod=p_default("
        assert waiting["message"].startswith(words)
        await stepped.clock.asked(pause)
        await stepped.clock.advance(pause)


async def test_a_container_that_ran_long_starts_its_back_off_anew(stepped):
    await stepped.start(KubeletSettings(heartbeat_period=10_000))
    await stepped.pod(command=("sh", "-c", f"echo $$$$ > {stepped.fifo}; exec sleep 1000"))
    for restart in range(3):
        pid = int(await stepped.line())
        await stepped.restarted("p", restart)
        await stepped.clock.advance(601)
        os.kill(pid, signal.SIGKILL)
    await stepped.restarted("p", 3)


async def test_init_containers_run_one_after_the_other_before_the_others(node, tmp_path):
    await node.start()
    script = "echo {} >> {}/order"
    init = [
        {"name": name, "image": "none", "command": ["sh", "-c", script.format(name, tmp_path)]}
        for name in ("one", "two")
    ]
    main = ("sh", "-c", script.format("main", tmp_path))
    await node.pod(command=main, initContainers=init, restartPolicy="Never")
    pod = await node.until_phase("Succeeded")
    assert (tmp_path / "order").read_text().split() == ["one", "two", "main"]
    assert [s["ready"] for s in pod["status"]["initContainerStatuses"]] == [True, True]


async def test_a_failed_init_container_fails_a_pod_that_is_never_restarted(node):
    await node.start()
    init = [{"name": "one", "image": "none", "command": ["false"]}]
    await node.pod(initContainers=init, restartPolicy="Never")
    pod = await node.until_phase("Failed")
    assert state(pod) == {"waiting": {"reason": "ContainerCreating"}}
    assert conditions(pod)["Initialized"] == "False"


async def test_a_container_without_command_waits_with_a_named_error(node):
    await node.start()
    await node.pod(command=())
    waiting = await node.until_waiting("NoCommand")
    assert "the testbed has no images" in waiting["message"]
    assert "NoCommand" not in await node.event("Failed")


async def test_a_container_that_cannot_be_created_is_tried_again_after_10_to_15_seconds(stepped):
    await stepped.start()
    driver = await stepped.driver()
    await stepped.claiming_pod("p", "c")
    await driver.next("NodePrepareResources")
    await stepped.until_waiting("CreateContainerError")
    pause = await stepped.clock.asked(10.01, 15)
    stepped.define("c")
    await stepped.clock.advance(pause)
    await stepped.until_phase("Running")


async def test_a_program_that_cannot_be_started_ends_its_container(node):
    await node.start()
    await node.pod(command=("no-such-program",), restartPolicy="Never")
    pod = await node.until_phase("Failed")
    ended = state(pod)["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("StartError", 128)
    assert "executable file not found in $PATH" in ended["message"]


async def test_a_deleted_pod_gets_sigterm_and_is_removed(node):
    await node.start()
    handler = (
        f"trap 'echo bye > {node.fifo}; exit 0' TERM; echo ready > {node.fifo}; sleep 1000 & wait"
    )
    await node.pod(command=("sh", "-c", handler))
    assert await node.line() == "ready"
    await node.until_phase("Running")
    await node.delete("p")
    assert await node.line() == "bye"
    await node.until_gone("pods", "p")
    assert await node.event("Killing") == "Stopping container main"


async def test_a_container_that_ignores_sigterm_is_killed_after_the_grace_period(stepped):
    await stepped.start()
    await stepped.pod(command=("sh", "-c", STUBBORN.format(stepped.fifo)))
    pid = int(await stepped.line())
    await stepped.until_phase("Running")
    stepped.clock.forget(5.0)
    await stepped.delete("p")
    await stepped.clock.asked(5.0)
    await stepped.clock.advance(4.9)
    os.kill(pid, 0)
    await stepped.clock.advance(0.1)
    await stepped.until_gone("pods", "p")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_shorter_grace_period_takes_effect_at_once(stepped):
    await stepped.start()
    command = ("sh", "-c", STUBBORN.format(stepped.fifo))
    await stepped.pod(command=command, terminationGracePeriodSeconds=3600)
    await stepped.line()
    await stepped.until_phase("Running")
    await stepped.delete("p")
    await stepped.clock.asked(3600)
    await stepped.delete("p", grace=2)
    await stepped.clock.asked(2)
    await stepped.clock.advance(2)
    await stepped.until_gone("pods", "p")


async def test_a_finished_pod_stays_until_it_is_deleted(node):
    await node.start()
    await node.pod(command=("true",), restartPolicy="Never")
    await node.until_phase("Succeeded")
    assert await node.log() == ""
    await node.delete("p")
    await node.until_gone("pods", "p")


async def test_the_files_of_a_pod_go_with_it(node):
    await node.start()
    await node.pod(command=("echo", "hello"), restartPolicy="Never")
    await node.until_phase("Succeeded")
    await node.delete("p")
    await node.journal.saw("pod left the node")
    assert [path for path in (node.base / "run").rglob("*") if path.is_file()] == []


async def test_a_pod_for_another_node_selector_is_rejected(node):
    await node.start()
    await node.pod(nodeSelector={"kubernetes.io/hostname": "elsewhere"})
    pod = await node.until_phase("Failed")
    assert pod["status"]["reason"] == "NodeAffinity"
    await node.delete("p")
    await node.until_gone("pods", "p")


async def test_a_node_takes_no_more_pods_than_its_capacity(node):
    await node.start(KubeletSettings(reconcile_period=0.01, max_pods=1))
    await node.pod("first")
    await node.until_phase("Running", "first")
    await node.pod("second")
    pod = await node.until_phase("Failed", "second")
    assert pod["status"]["reason"] == "OutOfpods"


async def test_finished_pods_leave_room_for_others(node):
    await node.start(KubeletSettings(reconcile_period=0.01, max_pods=1))
    await node.pod("first", command=("true",), restartPolicy="Never")
    await node.until_phase("Succeeded", "first")
    await node.pod("second")
    await node.until_phase("Running", "second")


def noting(name, file, last="while :; do sleep 0.01; done"):
    """A container that notes its start and, on SIGTERM, its end."""
    script = f"trap 'echo -{name} >> {file}; exit 0' TERM; echo +{name} >> {file}; {last}"
    return {"name": name, "image": "none", "command": ["sh", "-c", script]}


def sidecar(name, file):
    return noting(name, file) | {"restartPolicy": "Always"}


async def noted(file, count):
    """What is in the file, once there are that many words; containers write it."""
    while len(found := file.read_text().split() if file.exists() else []) < count:  # noqa: ASYNC110 (another process writes it)
        await asyncio.sleep(0.01)
    return found


async def test_sidecars_start_in_their_turn_run_beside_the_others_and_end_last_in_opposite_order(
    node, tmp_path
):
    await node.start()
    file = tmp_path / "order"
    passing = noting("passing", file, last="true")
    init = [sidecar("one", file), passing, sidecar("two", file)]
    main = [noting("main", file)]
    await node.pod(initContainers=init, containers=main, terminationGracePeriodSeconds=600)
    pod = await node.until_phase("Running")
    assert sorted(await noted(file, 4)) == ["+main", "+one", "+passing", "+two"]
    statuses = {s["name"]: s for s in pod["status"]["initContainerStatuses"]}
    assert {name: set(s["state"]) for name, s in statuses.items()} == {
        "one": {"running"}, "passing": {"terminated"}, "two": {"running"},
    }  # fmt: skip
    assert all(s["ready"] for s in statuses.values())
    assert set(conditions(pod).values()) == {"True"}
    await node.delete("p")
    await node.until_gone("pods", "p")
    assert file.read_text().split()[4:] == ["-main", "-two", "-one"]


async def test_a_pod_succeeds_when_all_but_its_sidecars_have_ended(node, tmp_path):
    await node.start()
    file = tmp_path / "order"
    waits = f"until grep -q one {file}; do sleep 0.01; done"
    more = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 600}
    await node.pod(command=("sh", "-c", waits), initContainers=[sidecar("one", file)], **more)
    pod = await node.until_phase("Succeeded")
    assert file.read_text().split() == ["+one", "-one"]
    (status,) = pod["status"]["initContainerStatuses"]
    assert status["state"]["terminated"]["exitCode"] == 0


async def test_the_next_kubelet_takes_sidecars_over_and_ends_them_with_their_pod(node, tmp_path):
    await node.start()
    file = tmp_path / "order"
    waits = f"until grep -q done {file}; do sleep 0.01; done"
    more = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 600}
    await node.pod(command=("sh", "-c", waits), initContainers=[sidecar("one", file)], **more)
    await node.until_phase("Running")
    await noted(file, 1)
    await node.stop()
    await node.start()
    await node.pod("later")
    await node.until_phase("Running", "later")
    with file.open("a") as notes:
        notes.write("done\n")
    await node.until_phase("Succeeded")
    assert file.read_text().split() == ["+one", "done", "-one"]


async def test_a_sidecar_that_ends_is_started_again_whatever_the_pod_s_policy(node, tmp_path):
    await node.start()
    file = tmp_path / "runs"
    again = noting("one", file, last=f"test $(wc -l < {file}) -gt 1 && sleep 1000")
    await node.pod(initContainers=[again | {"restartPolicy": "Always"}], restartPolicy="Never")

    def runs_again(pod):
        (status,) = pod["status"].get("initContainerStatuses") or [{"state": {}}]
        return status.get("restartCount") == 1 and "running" in status["state"]

    pod = await node.until("pods", "p", runs_again, "default")
    assert pod["status"]["phase"] in {"Pending", "Running"}
    assert conditions(await node.until_phase("Running"))["Initialized"] == "True"


async def test_conditions_of_others_survive_the_kubelet_s_writes(node):
    await node.start()
    await node.pod(command=("sh", "-c", "exit 1"), bound=False)
    mine = [{"type": "example.com/Checked", "status": "True"}]
    patch = Patch({"status": {"conditions": mine}})
    await node.api.patch(ObjectRef("pods", "p", "default"), patch, "status")
    await node.bind("p")
    pod = await node.until_phase("Running")
    assert conditions(pod)["example.com/Checked"] == "True"


async def test_a_status_is_written_over_conflicts_and_outages(stepped):
    await stepped.start(KubeletSettings(reconcile_period=1000))
    faults = stepped.server.faults
    faults.fail("update", "pods/status", 409, times=2)
    faults.fail("update", "pods/status", 503, times=1)
    await stepped.pod()
    await stepped.clock.asked(1.0)
    await stepped.clock.advance(1.0)
    await stepped.until_phase("Running")


async def test_pods_are_seen_after_the_watch_was_lost(node):
    await node.start()
    await node.pod("first")
    await node.until_phase("Running", "first")
    node.server.faults.drop_watches()
    await node.pod("second")
    await node.until_phase("Running", "second")


async def test_containers_outlive_their_kubelet_and_the_next_one_takes_them_over(node):
    await node.start()
    command = ("sh", "-c", STUBBORN.format(node.fifo))
    await node.pod(command=command, restartPolicy="Never")
    pid = int(await node.line())
    before = await node.until_phase("Running")
    await node.stop()
    os.kill(pid, 0)
    await node.start()
    await node.pod("later")
    await node.until_phase("Running", "later")
    after = await node.api.get("pods", "p", "default")
    assert after["status"]["containerStatuses"] == before["status"]["containerStatuses"]
    os.kill(pid, signal.SIGKILL)
    ended = await node.until_phase("Failed")
    assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137


async def test_a_container_that_ended_while_no_kubelet_ran_is_started_again(node):
    await node.start()
    command = ("sh", "-c", STUBBORN.format(node.fifo))
    await node.pod(command=command, restartPolicy="Never")
    pid = int(await node.line())
    running = await node.until_phase("Running")
    await node.stop()
    (container,) = running["status"]["containerStatuses"]
    left = node.runtime.running(container["containerID"].removeprefix("pydra-testbed://"))
    os.kill(pid, signal.SIGKILL)
    await left.wait()
    await node.start()
    again = await node.restarted("p", 1)
    lost = again["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (lost["exitCode"], lost["reason"]) == (137, "ContainerStatusUnknown")


async def test_a_finished_pod_stays_finished_under_the_next_kubelet(node):
    await node.start()
    await node.pod(command=("true",), restartPolicy="Never")
    before = await node.until_phase("Succeeded")
    await node.stop()
    await node.start()
    await node.pod("later")
    await node.until_phase("Running", "later")
    after = await node.api.get("pods", "p", "default")
    assert after["status"] == before["status"]
    await node.delete("p")
    await node.until_gone("pods", "p")


async def test_a_container_that_ended_is_not_run_again_because_another_still_ran(node, tmp_path):
    await node.start()
    command = ["sh", "-c", f"echo x >> {tmp_path}/runs"]
    containers = [
        {"name": "short", "image": "none", "command": command},
        {"name": "long", "image": "none", "command": ["sleep", "1000"]},
    ]
    await node.pod(containers=containers, restartPolicy="OnFailure")

    def short_is_over(pod):
        statuses = pod["status"].get("containerStatuses") or [{"state": {}}]
        return "terminated" in statuses[0]["state"] and "running" in statuses[1]["state"]

    await node.until("pods", "p", short_is_over, "default")
    await node.stop()
    await node.start()
    await node.pod("later")
    await node.until_phase("Running", "later")
    assert (tmp_path / "runs").read_text() == "x\n"


async def test_many_pods_run_side_by_side(node):
    await node.start()
    names = [f"p{index}" for index in range(12)]
    for name in names:
        await node.pod(name, command=("echo", name), restartPolicy="Never")
    await asyncio.gather(*(node.until_phase("Succeeded", name) for name in names))
    assert [await node.log(name) for name in names] == [f"{name}\n" for name in names]
