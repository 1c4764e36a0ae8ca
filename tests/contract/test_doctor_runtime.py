"""`doctor` and container runtimes: will they inject what the driver writes?"""

from __future__ import annotations

import json

import pytest
from doctor_node import DRIVER, SPEC, node

__all__ = ["node"]


SWITCH = """in /etc/containerd/config.toml:
[plugins."io.containerd.grpc.v1.cri"]
  enable_cdi = true
then: systemctl restart containerd"""


async def test_containerd_1_7_has_cdi_off_until_it_is_switched_on(node):
    node.binary("containerd", "echo containerd github.com/containerd/containerd v1.7.13 7c3aca7")
    node.containerd_config(f'version = 2\n[plugins."io.containerd.grpc.v1.cri"]\n{node.reads_ours}')
    off = await node.doctor()
    assert off.says("runtime: CDI", "finding", "containerd 1.7.13")
    assert off.fix("runtime: CDI") == SWITCH
    node.containerd_config(
        'imports = ["conf.d/*.toml"]\nversion = 2\n[plugins."io.containerd.grpc.v1.cri"]\nenable_cdi = false\n'
    )
    drop_in = node.host / "etc/containerd/conf.d/cdi.toml"
    drop_in.parent.mkdir()
    drop_in.write_text(
        f'[plugins."io.containerd.grpc.v1.cri"]\nenable_cdi = true\n{node.reads_ours}'
    )
    on = await node.doctor()
    assert on.says("runtime: CDI", "ok", "on")
    assert on.says("runtime: CDI directories", "ok", str(node.cdi))


async def test_a_runtime_that_reads_other_directories_is_told_ours(node):
    node.binary("containerd", "echo containerd containerd.io 2.1.4 abc")
    node.containerd_config("version = 3\n")
    done = await node.doctor()
    assert done.says("runtime: CDI directories", "finding", f"the driver writes {node.cdi}")
    assert done.fix("runtime: CDI directories") == (
        "set CDI_DIR=/var/run/cdi, or in /etc/containerd/config.toml:\n"
        '[plugins."io.containerd.cri.v1.runtime"]\n'
        f'  cdi_spec_dirs = ["/etc/cdi", "/var/run/cdi", "{node.cdi}"]\n'
        "then: systemctl restart containerd"
    )


async def test_a_spec_newer_than_the_runtimes_library_is_found(node):
    node.binary("containerd", "echo containerd containerd.io 2.1.4 abc")
    net = {"netDevices": [{"hostInterfaceName": "eth1", "name": "net1"}]}
    spec = SPEC | {"cdiVersion": "1.1.0", "devices": [{"name": "a", "containerEdits": net}]}
    (node.cdi / f"{DRIVER}-claim_u1.json").write_text(json.dumps(spec))
    done = await node.doctor()
    assert done.says("runtime: CDI version", "finding", "up to 1.0.0, this driver writes 1.1.0")
    assert (
        done.fix("runtime: CDI version")
        == "upgrade containerd to 2.2 or newer: it refuses these spec files"
    )


@pytest.mark.parametrize(
    ("program", "text", "check", "fix"),
    [
        (
            "containerd",
            "containerd x v1.6.20 y",
            "runtime: CDI",
            "upgrade containerd to 1.7 or newer, better 2.x",
        ),
        ("crio", "crio version 1.22.5", "runtime: CDI", "upgrade CRI-O to 1.23 or newer"),
        (
            "crio",
            "crio version 1.33.1",
            "runtime: CDI directories",
            "set CDI_DIR=/var/run/cdi, or in /etc/crio/",
        ),
    ],
)
async def test_old_or_wrongly_set_up_runtimes_say_what_to_do(node, program, text, check, fix):
    node.binary(program, f"echo {text}")
    done = await node.doctor()
    assert done.fix(check).startswith(fix)


async def test_crios_drop_ins_are_read(node):
    node.binary("crio", "echo crio version 1.33.1")
    drop_in = node.host / "etc/crio/crio.conf.d/10.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text(f"[crio.runtime]\n{node.reads_ours}")
    assert (await node.doctor()).says("runtime: CDI directories", "ok", str(node.cdi))


async def test_runtimes_no_kubelet_uses_are_only_mentioned(node):
    node.binary("dockerd", "echo Docker version 28.1.1, build x")
    node.binary("podman", "echo podman version 5.4.0")
    done = await node.doctor()
    assert done.says("runtime", "skipped", "docker 28.1.1")
    assert done.says("runtime", "skipped", "podman 5.4.0")


async def test_runtime_imports_that_are_no_pattern_are_named(node):
    node.containerd_config('imports = ["/"]')
    done = await node.doctor()
    assert done.says("runtime: settings", "finding", "imports: '/' is no pattern")


async def test_a_program_that_does_not_end_costs_only_its_version(node):
    node.binary("containerd", "exec sleep 600")
    assert (await node.doctor()).says("runtime: CDI", "ok", "containerd of unknown version")
    node.containerd_config("version = 2\n")
    done = await node.doctor()
    assert done.says("runtime: CDI", "skipped", "on by default in 2.x, in 1.7 only with enable_cdi")


async def test_runtime_settings_that_are_no_toml_are_named(node):
    node.containerd_config("version = = 3")
    done = await node.doctor()
    assert done.says("runtime: settings", "finding", "etc/containerd/config.toml: is no TOML")
    assert done.fix("runtime: settings") == "correct the file, then restart the runtime"
