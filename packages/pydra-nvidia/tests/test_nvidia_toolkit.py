"""The container toolkit's word on what containers need: taken where an operator named it, done without where it fails."""

from __future__ import annotations

import json

import pytest
from nvidia_hosts import fake_host

from pydra_core import Allocation, Claim, ClaimRef
from pydra_nvidia.driver import NvidiaDriver

__all__ = ["fake_host"]

SCRIPT = """#!/bin/sh
me=$(readlink -f "$0")
echo "$*" >> "$me.calls"
. "$me.does"
"""
SAYS = 'cat "$me.json"'


class Toolkit:
    """A program in place of `nvidia-ctk`, and the driver that asks it."""

    def __init__(self, folder, host, monkeypatch):
        self.host = host
        self.path = folder / "nvidia-ctk"
        self.path.write_text(SCRIPT)
        self.path.chmod(0o755)
        self.says(spec(host))
        monkeypatch.setenv("NVIDIA_CTK_PATH", str(self.path))
        monkeypatch.setenv("NVIDIA_HOST_ROOT", str(host.root))
        self.driver = NvidiaDriver()

    def says(self, content):
        self.path.with_name("nvidia-ctk.json").write_text(json.dumps(content))
        self.does(SAYS)

    def does(self, line):
        self.path.with_name("nvidia-ctk.does").write_text(line)

    @property
    def calls(self):
        return self.path.with_name("nvidia-ctk.calls").read_text().splitlines()

    async def edits(self, device="gpu-0"):
        await self.driver.discover()
        allocation = Allocation(request="r", pool="node", device=device)
        claim = Claim(ref=ClaimRef(uid="u", namespace="n", name="c"), allocations=(allocation,))
        (prepared,) = await self.driver.prepare(claim)
        return prepared.edits


def spec(host):
    """As nvidia-ctk 1.18 prints it: below the driver root, with numbers that may be of yesterday."""
    root = str(host.driver_root)
    library = "/usr/lib/x86_64-linux-gnu/libcuda.so.580.95.05"
    hook = "/usr/bin/nvidia-cdi-hook"
    (host.root / "usr/bin").mkdir(parents=True, exist_ok=True)
    (host.root / hook[1:]).write_text("#!/bin/sh\n")
    options = ["ro", "nosuid", "nodev", "rbind", "rprivate"]
    gpus = [
        {
            "name": gpu.uuid,
            "containerEdits": {
                "deviceNodes": [
                    {"path": f"/dev/nvidia{gpu.minor}", "hostPath": f"{root}/dev/nvidia{gpu.minor}", "major": 7, "minor": 7},
                    {"path": "/dev/dri/card99", "type": "c", "major": 226, "minor": 99},
                ],
                "hooks": [
                    {"hookName": "createContainer", "path": hook, "args": ["nvidia-cdi-hook", "create-symlinks", "--link", "../card0::/dev/dri/by-path/pci"]},
                ],
            },
        }
        for gpu in host.gpus
    ]  # fmt: skip
    return {
        "cdiVersion": "0.5.0",
        "kind": "nvidia.com/gpu",
        "devices": [*gpus, {"name": "all", "containerEdits": {"env": ["ALL=1"]}}],
        "containerEdits": {
            "env": ["NVIDIA_CTK_LIBCUDA_DIR=/usr/lib/x86_64-linux-gnu", "NVIDIA_VISIBLE_DEVICES=void"],
            "deviceNodes": [{"path": f"/dev/{name}"} for name in ("nvidia-modeset", "nvidia-uvm", "nvidiactl", "nvidia-fs0")],
            "mounts": [{"hostPath": f"{root}{library}", "containerPath": library, "options": options}],
            "hooks": [
                {"hookName": "createContainer", "path": hook, "args": ["nvidia-cdi-hook", "update-ldcache", "--folder", "/usr/lib/x86_64-linux-gnu"]},
            ],
        },
    }  # fmt: skip


@pytest.fixture
async def toolkit(fake_host, tmp_path, monkeypatch):
    made = []

    def make(description="h100x8", **options):
        made.append(Toolkit(tmp_path, fake_host(description, **options), monkeypatch))
        return made[-1]

    yield make
    for one in made:
        await one.driver.sdk.close()


@pytest.mark.parametrize("driver_root", ["", "/run/nvidia/driver"])
async def test_its_mounts_hooks_and_environment_are_taken_with_the_hosts_paths(
    toolkit, driver_root
):
    asked = toolkit(driver_root=driver_root)
    edits = await asked.edits("gpu-1")
    library = "/usr/lib/x86_64-linux-gnu/libcuda.so.580.95.05"
    assert [(m.host_path, m.container_path) for m in edits.mounts] == [
        (f"{driver_root}{library}", library)
    ]
    assert "NVIDIA_VISIBLE_DEVICES=void" in edits.env
    assert "ALL=1" not in edits.env
    assert [hook.args[1] for hook in edits.hooks] == ["update-ldcache", "create-symlinks"]
    (call,) = asked.calls
    assert call.startswith("cdi generate --format=json --device-name-strategy=uuid")
    assert f"--driver-root={asked.host.driver_root}" in call


async def test_its_nodes_are_looked_at_when_a_claim_is_prepared(toolkit):
    asked = toolkit()
    edits = await asked.edits("gpu-1")
    dev = asked.host.root / "dev"
    status = (dev / "nvidia1").lstat()
    (node,) = [n for n in edits.device_nodes if n.path == "/dev/nvidia1"]
    assert (node.major, node.minor) == (status.st_rdev >> 8, status.st_rdev & 0xFF)
    names = [n.path for n in edits.device_nodes]
    assert len(names) == len(set(names))
    assert not {"/dev/nvidia-fs0", "/dev/dri/card99"} & set(names)
    (dev / "nvidia-fs0").symlink_to("nvidia1")
    assert "/dev/nvidia-fs0" not in [n.path for n in (await asked.edits("gpu-1")).device_nodes]


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ('echo "no NVML here" >&2; exit 3', "exited with 3: no NVML here"),
        ("echo nonsense", "what it says is no CDI spec"),
        ("exec sleep 60", "does not end within"),
        ("""echo '{"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [{"name": "0", "containerEdits": {"env": ["A=1"]}}]}'""", "names no GPU by UUID"),
    ],
)  # fmt: skip
async def test_one_that_fails_is_done_without_and_said_once(
    toolkit, caplog, monkeypatch, does, why
):
    monkeypatch.setattr("pydra_nvidia.cdi.toolkit._PATIENCE", 0.3)
    asked = toolkit("t4x1")
    asked.does(does)
    first, again = await asked.edits(), await asked.edits()
    assert first == again
    assert any(m.container_path.endswith("/libcuda.so.1") for m in first.mounts)
    said = [r.why for r in caplog.records if r.message == "container toolkit is done without"]
    assert len(said) == 1
    assert why in said[0]


async def test_a_hook_that_is_not_on_the_node_is_not_handed_to_a_runtime(toolkit, caplog):
    asked = toolkit("t4x1")
    (asked.host.root / "usr/bin/nvidia-cdi-hook").unlink()
    assert (await asked.edits()).hooks == ()
    (why,) = [r.why for r in caplog.records if r.message == "container toolkit is done without"]
    assert "names the hook /usr/bin/nvidia-cdi-hook, which is not on this node" in why


async def test_what_it_said_of_this_driver_holds_on_when_it_fails_later(toolkit):
    asked = toolkit("t4x1")
    before = await asked.edits()
    asked.does("exit 1")
    assert await asked.edits() == before
    asked.host.replace_driver("590.44.01")
    after = await asked.edits()
    assert any("590.44.01" in mount.host_path for mount in after.mounts)
