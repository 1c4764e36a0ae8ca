"""What the chart puts into a cluster, read from its golden files: no right, mount or privilege but those it needs."""

from __future__ import annotations

import itertools
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from charts.golden import is_hook, kept
from pydra_core._commands.doctor.rights import rights_of
from pydra_core._node.sockets import locate
from pydra_core.settings import Settings, all_keys

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "dra-driver"
DRIVERS = {entry.name: entry for entry in entry_points(group="pydra.drivers")}
NOT_SET = {"SOCKET_PATH", "KUBELET_SOCKET_PATH", "REGISTRATION_SOCKET_PATH", "BOOT_ID_FILE", "KUBECONFIG", "POD_RESOURCES_SOCKET"}  # fmt: skip

PUBLISH = {"POD_NAMESPACE", "LEASE_DURATION"}
"""Settings of `publish`, which does not run on nodes."""


def golden(name):
    return kept(ROOT, name)


def only(objects, kind, *, publisher=False):
    (found,) = [
        body
        for body in objects
        if body["kind"] == kind
        and not is_keeper(body)
        and body["metadata"]["name"].endswith("-publish") == publisher
    ]
    return found


def is_keeper(body):
    """Whether it is the DaemonSet that keeps MPS daemons."""
    return body["kind"] == "DaemonSet" and body["metadata"]["name"].endswith("-mps-keeper")


def rights(role):
    """Group, resource, verb and object of each right a role gives."""
    return sorted(
        right
        for rule in role["rules"]
        for right in itertools.product(
            rule["apiGroups"], rule["resources"], rule["verbs"], rule.get("resourceNames", [""])
        )
    )


def pod_of(objects):
    return only(objects, "DaemonSet")["spec"]["template"]["spec"]


def driver_of(objects):
    (container,) = pod_of(objects)["containers"]
    return container


def program_of(objects):
    return driver_of(objects)["command"][0]


def host_paths(objects):
    volumes = {v["name"]: v["hostPath"]["path"] for v in pod_of(objects)["volumes"]}
    return {m["mountPath"]: volumes[m["name"]] for m in driver_of(objects)["volumeMounts"]}


def environment(objects):
    return {e["name"]: e.get("value") for e in driver_of(objects)["env"]}


def test_every_vendors_package_has_values_and_the_policy_of_its_parameters():
    for name, entry in DRIVERS.items():
        values = yaml.safe_load((CHART / "values" / f"{name}.yaml").read_text(encoding="utf-8"))
        assert values["driver"] == {"name": entry.load().name, "program": entry.dist.name}
        assert (CHART / "files" / "parameters" / f"{entry.load().name}.json").exists()


@pytest.mark.parametrize("vendor", DRIVERS)
def test_a_role_allows_exactly_what_doctor_asks_for(vendor):
    asked = rights_of(DRIVERS[vendor].load())
    wanted = sorted((r.group, r.resource, r.verb, r.name) for r in asked)
    assert rights(only(golden(vendor), "ClusterRole")) == wanted


def test_without_device_status_no_claim_is_written():
    given = rights(only(golden("everything"), "ClusterRole"))
    assert {(name, verb) for _, name, verb, _ in given if name.startswith("resourceclaims")} == {
        ("resourceclaims", "get")
    }


def test_a_publisher_may_write_slices_and_hold_its_lease_and_no_more():
    group, verbs = "resource.k8s.io", ("list", "watch", "create", "update", "delete")
    slices = [(group, "resourceslices", verb, "") for verb in verbs]
    for case, claims in (("fabric", [(group, "resourceclaims", "list", "")]), ("everything", [])):
        objects = golden(case)
        assert rights(only(objects, "ClusterRole", publisher=True)) == sorted(slices + claims)
        assert rights(only(objects, "Role", publisher=True)) == [
            ("coordination.k8s.io", "leases", "create", ""),
            ("coordination.k8s.io", "leases", "get", "dra.pizza-publish"),
            ("coordination.k8s.io", "leases", "update", "dra.pizza-publish"),
        ]
        pod = only(objects, "Deployment", publisher=True)["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert "volumes" not in pod


def test_a_publisher_has_the_settings_it_needs():
    pod = only(golden("fabric"), "Deployment", publisher=True)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"] == ["pydra-pizza", "publish"]
    assert {entry["name"] for entry in container["env"]} >= PUBLISH


def test_all_mounts_and_settings_follow_from_one_kubelet_root():
    text = (ROOT / "tests/charts/golden/elsewhere.yaml").read_text(encoding="utf-8")
    fixed = "/var/lib/kubelet/device-plugins"  # the kubelet's own name for it, whatever its root
    assert "/var/lib/kubelet" not in text.replace(fixed, "")
    assert "/var/run/cdi" not in text
    objects = golden("elsewhere")
    wanted = (
        "/data/kubelet/plugins/dra.pizza",
        "/data/kubelet/plugins_registry",
        "/data/cdi",
        "/data/kubelet/pod-resources",
    )
    assert host_paths(objects) == {path: path for path in wanted} | {
        "/data/kubelet/device-plugins": fixed
    }
    told = environment(objects)
    assert (told["KUBELET_ROOT"], told["CDI_DIR"]) == ("/data/kubelet", "/data/cdi")


def test_all_the_driver_writes_lies_in_folders_it_mounts(rendered):
    told = environment(rendered)
    uid = "0e7cb5f1-8b51-4a5c-a4a9-d1ab1d3ff2a6"
    root = Path(told["KUBELET_ROOT"])
    (name,) = {e.load().name for e in DRIVERS.values() if e.dist.name == program_of(rendered)}
    sockets = locate(Settings(kubelet_root=root, pod_uid=uid), name)
    mounts = [Path(inside) for inside, host in host_paths(rendered).items() if inside == host]
    for path in (sockets.registration, sockets.service, sockets.data_dir, Path(told["CDI_DIR"])):
        assert any(path.is_relative_to(mount) for mount in mounts), path


def test_a_root_too_long_for_sockets_in_the_drivers_own_folder_is_served_from_the_one_above():
    (plugins, *_) = host_paths(golden("long-root"))
    assert plugins.endswith("/kubelet-pool/plugins")


def test_every_setting_is_the_charts_or_left_to_the_admin(rendered):
    known = {key.env for key in all_keys()} - PUBLISH
    told = set(environment(rendered))
    assert known - NOT_SET <= told
    vendors = program_of(rendered).removeprefix("pydra-").upper()
    assert {name for name in told - known if not name.startswith(f"{vendors}_")} <= {"POD_IP"}


def test_no_pod_has_more_rights_than_it_says(rendered):
    others = [b["spec"] for b in rendered if b["kind"] == "Pod"]
    deployed = [b["spec"]["template"]["spec"] for b in rendered if b["kind"] == "Deployment"]
    kept_ones = [b["spec"]["template"]["spec"] for b in rendered if is_keeper(b)]
    assert all(pod.pop("hostPID") is True for pod in kept_ones)
    pods = [pod_of(rendered), *kept_ones, *others, *deployed]
    for pod in pods:
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert pod["securityContext"]["seccompProfile"]["type"] in ("RuntimeDefault", "Localhost")
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            if not context.get("privileged"):
                assert context["capabilities"] == {"drop": ["ALL"]}
                assert context["allowPrivilegeEscalation"] is False
            assert container["resources"]["limits"]["memory"]
    assert all(pod["automountServiceAccountToken"] is False for pod in [*others, *kept_ones])


def test_only_who_asks_and_says_why_is_privileged():
    for vendor in DRIVERS:
        values = yaml.safe_load((CHART / "values" / f"{vendor}.yaml").read_text(encoding="utf-8"))
        is_on = driver_of(golden(vendor))["securityContext"].get("privileged", False)
        assert is_on == values.get("privileged", {}).get("enabled", False)
    notes = (ROOT / "tests/charts/golden/everything.txt").read_text(encoding="utf-8")
    assert "all rights on them: The oven's door opens for nobody else." in notes


def test_the_image_is_that_of_the_charts_version_unless_a_tag_or_digest_is_given():
    version = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"]
    images = {
        name: driver_of(golden(name))["image"] for name in ("pizza", "elsewhere", "everything")
    }
    assert images["pizza"] == f"pydra-pizza:{version}"
    assert images["elsewhere"] == "registry.example.com/pydra/pydra-pizza:0.2.0"
    assert images["everything"] == "pydra-pizza@sha256:" + "0123456789abcdef" * 4
    for name, image in images.items():
        assert only(golden(name), "Pod")["spec"]["containers"][0]["image"] == image


def test_the_new_pod_is_ready_before_the_old_one_goes():
    body = only(golden("pizza"), "DaemonSet")
    assert body["spec"]["updateStrategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }
    uid = {"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    assert uid in driver_of([body])["env"]
    assert driver_of([body])["readinessProbe"]["httpGet"]["path"] == "/readyz"
    stop = float(environment([body])["DRAIN_TIMEOUT"])
    assert pod_of([body])["terminationGracePeriodSeconds"] >= stop + 20


def test_a_new_version_of_the_chart_alone_replaces_no_pod(rendered):
    labels = only(rendered, "DaemonSet")["spec"]["template"]["metadata"]["labels"]
    assert not {"helm.sh/chart", "app.kubernetes.io/version"} & labels.keys()


def test_a_quota_is_made_where_a_system_class_needs_one():
    assert only(golden("elsewhere"), "ResourceQuota")["metadata"]["namespace"] == "drivers"
    for name in ("pizza", "everything", "minimal"):  # kube-system; classes of their own
        assert "ResourceQuota" not in {body["kind"] for body in golden(name)}
    own = only(golden("everything"), "PriorityClass")
    assert own["metadata"]["name"] == pod_of(golden("everything"))["priorityClassName"]


def test_the_network_policy_is_about_the_drivers_pods_and_their_port(rendered):
    policies = [body["spec"] for body in rendered if body["kind"] == "NetworkPolicy"]
    for policy in policies:
        labels = only(rendered, "DaemonSet")["spec"]["template"]["metadata"]["labels"]
        assert policy["podSelector"]["matchLabels"].items() <= labels.items()
        names = {port["name"] for port in driver_of(rendered)["ports"]}
        assert {p["port"] for rule in policy["ingress"] for p in rule["ports"]} == names
        assert ("Egress" in policy["policyTypes"]) == ("egress" in policy)


def test_the_classes_are_those_of_the_demo():
    demo = files("pydra_pizza") / "demo" / "1-classes.yaml"
    shown = {b["metadata"]["name"]: b["spec"] for b in yaml.safe_load_all(demo.read_text())}
    made = {b["metadata"]["name"]: b["spec"] for b in golden("pizza") if b["kind"] == "DeviceClass"}
    assert made == shown


def test_what_prometheus_is_told_comes_only_when_asked_for():
    kinds = {body["kind"] for body in golden("pizza")}
    assert not {"PodMonitor", "PrometheusRule"} & kinds
    objects = golden("everything")
    (endpoint,) = only(objects, "PodMonitor")["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in {port["name"] for port in driver_of(objects)["ports"]}
    alerts = yaml.safe_load((ROOT / "docs" / "alerts.yaml").read_text(encoding="utf-8"))
    assert only(objects, "PrometheusRule")["spec"] == alerts["spec"]


def test_hooks_are_pods_that_stay_for_their_logs(rendered):
    """`helm test --logs` of Helm 3 takes each hook for a pod and asks after hooks have been deleted."""
    hooks = [body for body in rendered if is_hook(body)]
    assert {body["kind"] for body in hooks} <= {"Pod"}
    for body in hooks:
        policy = body["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
        assert policy == "before-hook-creation"


def test_as_little_as_can_be_is_the_driver_alone():
    assert [body["kind"] for body in golden("minimal")] == ["DaemonSet"]


def modes(case):
    told = environment(golden(case))
    return {name: told[name] for name in ("ENABLE_DRA", "ENABLE_DEVICE_PLUGIN")}


def test_a_driver_without_claims_writes_nothing_and_asks_for_nothing_about_them():
    objects = golden("without-dra")
    assert modes("without-dra") == {"ENABLE_DRA": "false", "ENABLE_DEVICE_PLUGIN": "true"}
    assert not {body["apiVersion"].partition("/")[0] for body in objects} & {
        "resource.k8s.io",
        "admissionregistration.k8s.io",
    }
    assert {(group, name) for group, name, _, _ in rights(only(objects, "ClusterRole"))} == {
        ("", "nodes"),
        ("", "events"),
    }
    (user,) = only(objects, "Pod")["spec"]["containers"]
    assert user["resources"]["limits"] == {"memory": "64Mi", "kitchen.pizza.example/pizza": 1}
    notes = (ROOT / "tests/charts/golden/without-dra.txt").read_text(encoding="utf-8")
    assert "resourceslices" not in notes
    assert "Have a pod ask for kitchen.pizza.example/pizza" in notes


def test_the_kubelets_folders_for_device_plugins_are_mounted_where_they_may_be_needed():
    assert modes("pizza") == {"ENABLE_DRA": "auto", "ENABLE_DEVICE_PLUGIN": "false"}
    assert modes("everything") == {"ENABLE_DRA": "true", "ENABLE_DEVICE_PLUGIN": "true"}
    assert modes("minimal") == {"ENABLE_DRA": "true", "ENABLE_DEVICE_PLUGIN": "false"}
    assert environment(golden("everything"))["DEVICE_PLUGIN_ANSWER"] == "plain"
    for case, needed in (("pizza", True), ("everything", True), ("without-dra", True), ("minimal", False)):  # fmt: skip
        mounts = {m["name"]: m for m in driver_of(golden(case))["volumeMounts"]}
        assert {"device-plugins", "pod-resources"} & mounts.keys() == (
            {"device-plugins", "pod-resources"} if needed else set()
        )
        assert not needed or mounts["pod-resources"]["readOnly"] is True


@pytest.mark.parametrize("case", ["pizza", "everything", "minimal", "without-dra"])
def test_notes_say_what_to_run_next(case):
    objects = golden(case)
    name = only(objects, "DaemonSet")["metadata"]["name"]
    text = (ROOT / "tests/charts/golden" / f"{case}.txt").read_text(encoding="utf-8")
    assert f"kubectl rollout status daemonset/{name} " in text
    assert f"daemonset/{name} -- pydra-pizza doctor" in text
    assert ("helm test" in text) == any(body["kind"] == "Pod" for body in objects)
