"""What a container is given: its words, its environment, its devices, and what config.json says."""

import pytest

from pydra_testbed.runtime import ContainerError, NoCommandError


def field(name, path):
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


async def test_a_container_sees_exactly_its_spec_s_environment(bench, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_TESTBED", "x")
    code, text = await bench.output("/usr/bin/env", env=[{"name": "A", "value": "1"}])
    assert code == 0
    assert text.splitlines() == bench.spec()["process"]["env"]
    assert [line.partition("=")[0] for line in text.splitlines()] == ["PATH", "HOSTNAME", "A"]


async def test_an_injected_device_sets_the_environment_of_the_process(bench):
    bench.define(env=["CARD=one", "A=from-device"])
    env = [{"name": "A", "value": "mine"}, {"name": "B", "value": "2"}]
    _, text = await bench.output("/usr/bin/env", env=env, devices=["example.com/card=one"])
    assert "CARD=one" in text.splitlines()
    assert "A=from-device" in text.splitlines()
    assert "B=2" in text.splitlines()


async def test_a_spec_file_written_after_the_last_container_is_seen_by_the_next(bench):
    bench.define(env=["CARD=old"])
    await bench.output("/usr/bin/env", devices=["example.com/card=one"])
    bench.define(env=["CARD=new"])
    _, text = await bench.output("/usr/bin/env", devices=["example.com/card=one"], attempt=1)
    assert "CARD=new" in text


async def test_mounts_and_device_nodes_of_a_device_are_in_config_json(bench):
    bench.define(
        deviceNodes=[{"path": "/dev/card0", "type": "c", "major": 240, "minor": 7}],
        mounts=[
            {"hostPath": "/opt/card", "containerPath": "/opt/card", "options": ["rbind", "ro"]}
        ],
    )
    await bench.output("true", devices=["example.com/card=one"])
    spec = bench.spec()
    assert spec["linux"]["devices"][0]["path"] == "/dev/card0"
    assert {"allow": True, "type": "c", "major": 240, "minor": 7, "access": "rwm"} in (
        spec["linux"]["resources"]["devices"]
    )
    mount = next(m for m in spec["mounts"] if m["destination"] == "/opt/card")
    assert mount["source"] == "/opt/card"


async def test_devices_nobody_defines_are_named_as_the_runtime_names_them(bench):
    ids = ["example.com/card=one", "example.com/card=two"]
    with pytest.raises(ContainerError) as raised:
        await bench.start("true", devices=ids)
    assert raised.value.reason == "CreateContainerError"
    assert raised.value.message.startswith(
        "CDI device injection failed: unresolvable CDI devices "
        "example.com/card=one, example.com/card=two"
    )
    assert str(bench.cdi) in raised.value.message


async def test_a_device_node_the_host_lacks_is_an_injection_error(bench):
    bench.define(deviceNodes=[{"path": "/dev/card0"}])
    with pytest.raises(ContainerError, match="/dev/card0 of the host") as raised:
        await bench.start("true", devices=["example.com/card=one"])
    assert raised.value.message.startswith("CDI device injection failed: ")


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("$(A)-$(B)", "1-2"),
        ("$$(A)", "$(A)"),
        ("$(MISSING) $(A", "$(MISSING) $(A"),
        ("$A $ $$", "$A $ $"),
        ("$$$(A)", "$1"),
    ],
)
async def test_references_in_args_are_expanded_as_kubernetes_does(bench, written, seen):
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    _, text = await bench.output("printf", "%s", args=[written], env=env)
    assert text == seen


async def test_a_value_may_refer_to_variables_above_it_only(bench):
    env = [
        {"name": "LATE", "value": "$(BASE)/x"},
        {"name": "BASE", "value": "/data"},
        {"name": "FULL", "value": "$(BASE)/x"},
    ]
    await bench.output("true", env=env)
    assert bench.spec()["process"]["env"][-3:] == ["LATE=$(BASE)/x", "BASE=/data", "FULL=/data/x"]


async def test_fields_of_the_pod_can_be_variables(bench):
    paths = {
        "metadata.name": "p",
        "metadata.namespace": "default",
        "metadata.uid": "0f6b1c2e-0000-4000-8000-000000000001",
        "metadata.labels['app']": "web",
        "metadata.annotations['example.com/owner']": "me",
        "metadata.labels['absent']": "",
        "spec.nodeName": "node-a",
        "spec.serviceAccountName": "default",
        "status.podIP": "127.0.0.1",
        "status.hostIP": "127.0.0.1",
    }
    env = [field(f"V{index}", path) for index, path in enumerate(paths)]
    await bench.output("true", env=env)
    values = [entry.partition("=")[2] for entry in bench.spec()["process"]["env"][2:]]
    assert values == list(paths.values())


@pytest.mark.parametrize(
    "fields",
    [
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
        {"env": [field("A", "spec.hostname")]},
        {"envFrom": [{"configMapRef": {"name": "c"}}]},
    ],
)
async def test_a_variable_the_testbed_cannot_read_stops_the_container(bench, fields):
    with pytest.raises(ContainerError, match="the testbed does not read") as raised:
        await bench.start("true", **fields)
    assert raised.value.reason == "CreateContainerConfigError"


async def test_a_container_without_command_is_an_error_with_a_name(bench):
    with pytest.raises(NoCommandError) as raised:
        await bench.start()
    assert raised.value.reason == "NoCommand"
    assert "no images" in raised.value.message


async def test_volumes_are_recorded_as_mounts_and_not_made(bench, tmp_path):
    volumes = [{"name": "h", "hostPath": {"path": "/srv"}}, {"name": "e", "emptyDir": {}}]
    mounts = [
        {"name": "h", "mountPath": "/srv", "readOnly": True},
        {"name": "e", "mountPath": "/scratch"},
    ]
    pod = bench.pod(volumes=volumes)
    await bench.output("true", pod=pod, volumeMounts=mounts)
    recorded = {m["destination"]: m for m in bench.spec()["mounts"]}
    assert recorded["/srv"]["source"] == "/srv"
    assert "ro" in recorded["/srv"]["options"]
    assert recorded["/scratch"]["source"].startswith(str(tmp_path))
    assert not (tmp_path / "run/volumes").exists()


async def test_names_cannot_lead_out_of_the_runtime_s_directory(bench):
    pod = bench.pod()
    pod["metadata"]["uid"] = "../../etc"
    with pytest.raises(ValueError, match="cannot be part of a path"):
        await bench.start("true", pod=pod)
