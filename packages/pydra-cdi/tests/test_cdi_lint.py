"""Lint finds what makes a container fail, on hostile specs and foreign hosts too."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pydra_cdi import CdiError, ContainerEdits, Device, DeviceNode, Hook, Mount, Spec, encode_spec
from pydra_cdi._lint.finding import of_error
from pydra_cdi._tree import HostTree
from pydra_cdi.cli import main
from pydra_cdi.lint import Linter
from pydra_cdi.runtimes import SINCE, find_runtime
from pydra_cdi.versions import KNOWN_VERSIONS

KIND = "acme.example/card"
BIND = ("ro", "rbind")


def spec(*edits, version="0.3.0", common=None, **fields):
    devices = [Device(f"d{place}", one) for place, one in enumerate(edits)]
    return Spec(version, KIND, devices, common or ContainerEdits(), **fields)


def found(value, linter=None):
    """Lint a spec; give severity, rule and path of each finding."""
    findings = (linter or Linter(Path("/"))).text(encode_spec(value), Path("x.json"))
    return [(one.severity, one.rule, one.path) for one in findings]


def with_host(root, *edits, **fields):
    return found(spec(*edits, **fields), Linter(root))


def edits(**fields):
    return ContainerEdits(**fields)


ENV = edits(env=["A=1"])
AT = "devices[0].containerEdits"


def test_a_good_spec_has_no_findings(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/hook").touch(mode=0o755)
    os.mkfifo(tmp_path / "pipe")
    good = edits(
        mounts=[Mount("/bin", "/opt", BIND)],
        hooks=[Hook("prestart", "/bin/hook")],
        device_nodes=[DeviceNode("/pipe"), DeviceNode("/p", type="p", host_path="/pipe")],
    )

    assert with_host(tmp_path, good, version="0.5.0") == []


@pytest.mark.parametrize(
    ("what", "finding"),
    [
        (
            edits(mounts=[Mount("/gone", "/a", BIND)]),
            ("error", "host-path-missing", "mounts[0].hostPath"),
        ),
        (
            edits(mounts=[Mount("/dangling", "/a", BIND)]),
            ("error", "symlink-dangling", "mounts[0].hostPath"),
        ),
        (
            edits(mounts=[Mount("/loop", "/a", BIND)]),
            ("warning", "host-path-unknown", "mounts[0].hostPath"),
        ),
        (
            edits(mounts=[Mount("/a\0b", "/a", BIND)]),
            ("warning", "host-path-unknown", "mounts[0].hostPath"),
        ),
        (
            edits(mounts=[Mount("/x" * 4000, "/a", BIND)]),
            ("warning", "host-path-unknown", "mounts[0].hostPath"),
        ),
        (
            edits(mounts=[Mount("dir", "/a", BIND)]),
            ("warning", "path-crooked", "mounts[0].hostPath"),
        ),
        (
            edits(mounts=[Mount("/dir", "/a/../b", BIND)]),
            ("warning", "path-crooked", "mounts[0].containerPath"),
        ),
        (edits(mounts=[Mount("/dir", "/a")]), ("error", "mount-unbound", "mounts[0].options")),
        (
            edits(device_nodes=[DeviceNode("/gone")]),
            ("error", "host-path-missing", "deviceNodes[0].path"),
        ),
        (
            edits(device_nodes=[DeviceNode("/gone", type="c", major=1)]),
            ("warning", "host-path-missing", "deviceNodes[0].path"),
        ),
        (
            edits(device_nodes=[DeviceNode("/dir")]),
            ("error", "no-device-node", "deviceNodes[0].path"),
        ),
        (
            edits(device_nodes=[DeviceNode("/to-pipe")]),
            ("error", "node-is-symlink", "deviceNodes[0].path"),
        ),
        (
            edits(device_nodes=[DeviceNode("/pipe", type="c")]),
            ("error", "node-changed", "deviceNodes[0].path"),
        ),
        (edits(hooks=[Hook("prestart", "/gone")]), ("error", "host-path-missing", "hooks[0].path")),
        (
            edits(hooks=[Hook("prestart", "/dir")]),
            ("error", "hook-not-executable", "hooks[0].path"),
        ),
        (
            edits(hooks=[Hook("prestart", "/plain")]),
            ("error", "hook-not-executable", "hooks[0].path"),
        ),
        (edits(env=["MY_TOKEN=x"]), ("warning", "secret-in-env", "env[0]")),
        (
            edits(hooks=[Hook("prestart", "/program", env=["db_password=x"])]),
            ("warning", "secret-in-env", "hooks[0].env[0]"),
        ),
    ],
)
def test_each_rule_finds_what_it_is_for(tmp_path, what, finding):
    (tmp_path / "dir").mkdir()
    (tmp_path / "plain").touch(mode=0o644)
    (tmp_path / "program").touch(mode=0o755)
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "to-pipe").symlink_to("pipe")
    os.mkfifo(tmp_path / "pipe")
    severity, rule, path = finding

    assert with_host(tmp_path, what) == [(severity, rule, f"{AT}.{path}")]


@pytest.mark.parametrize("bits", [0o100, 0o010, 0o001, 0o666])
def test_a_hook_may_be_executable_for_anybody(tmp_path, bits):
    (tmp_path / "hook").touch()
    (tmp_path / "hook").chmod(bits)
    rules = [rule for _, rule, _ in with_host(tmp_path, edits(hooks=[Hook("prestart", "/hook")]))]

    assert rules == (["hook-not-executable"] if bits == 0o666 else [])


@pytest.mark.parametrize(
    "what",
    [
        edits(mounts=[Mount("tmpfs", "/a", ("size=1m",), "tmpfs")]),
        edits(env=["TOKEN=", "TOKEN_FILE=/run/token", "CUDA=1"]),
        edits(device_nodes=[DeviceNode("/dev/null", type="c", major=1, minor=3)]),
        edits(device_nodes=[DeviceNode("/dev/null", type="u", major=1, minor=3)]),
        edits(device_nodes=[DeviceNode("/dev/null", type="c")]),
    ],
)
def test_what_is_right_is_not_found(what):
    assert found(spec(what, version="0.4.0"))[1:] == [] or found(spec(what, version="0.4.0")) == []


def test_device_numbers_that_changed_on_the_host_are_told_with_both():
    node = DeviceNode("/dev/x", host_path="/dev/null", type="c", major=240, minor=7)
    data = encode_spec(spec(edits(device_nodes=[node]), version="0.5.0"))

    (finding,) = Linter().text(data, Path("x.json"))

    assert finding.rule == "node-changed"
    assert "c 240:7" in finding.message
    assert "c 1:3" in finding.message
    assert finding.path == f"{AT}.deviceNodes[0].hostPath"


def test_a_link_to_a_node_that_is_fully_given_is_fine(tmp_path):
    (tmp_path / "null").symlink_to("/dev/null")
    path = str(tmp_path / "null")
    given = DeviceNode(path, type="c", major=1, minor=3)

    assert found(spec(edits(device_nodes=[given]))) == []
    assert found(spec(edits(device_nodes=[DeviceNode(path)])))[0][1] == "node-is-symlink"


def test_container_paths_used_twice_are_told_within_what_one_device_brings():
    one, same = Mount("/", "/a", BIND), Mount("/", "/a/", BIND)
    common = edits(mounts=[one], device_nodes=[DeviceNode("/dev/null")])
    other = edits(mounts=[Mount("/", "/b", BIND)], device_nodes=[DeviceNode("/dev/null")])

    assert found(spec(edits(mounts=[same]), other, common=common)) == [
        ("warning", "container-path-repeated", f"{AT}.mounts[0].containerPath"),
        (
            "warning",
            "container-path-repeated",
            "devices[1].containerEdits.deviceNodes[0].path",
        ),
    ]
    assert found(spec(edits(mounts=[one, same]), edits(mounts=[one]))) == [
        ("warning", "container-path-repeated", f"{AT}.mounts[1].containerPath")
    ]


def test_annotations_that_kubernetes_would_refuse_are_told():
    value = spec(ENV, version="0.6.0", annotations={"-x": "1", "ok": "1"})

    assert found(value) == [("warning", "annotation", "annotations['-x']")]


def test_a_version_higher_than_needed_is_information_only(tmp_path, capsys):
    file = tmp_path / "x.json"
    file.write_bytes(encode_spec(spec(ENV, version="1.0.0")))
    file.chmod(0o644)

    assert main(["lint", str(file)]) == 0
    assert "info: cdiVersion: 1.0.0 is declared and 0.3.0 would do" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("runtime", "newest"),
    [
        ("containerd-1.7", "0.8.0"),
        ("containerd-1.7.11", "0.5.0"),
        ("containerd-v2.0.4", "0.8.0"),
        ("containerd-2.0", "1.0.0"),
        ("containerd-2.2.0", "1.0.0"),
        ("containerd-9.9", "1.1.0"),
        ("cri-o-1.32", "0.8.0"),
        ("docker-25.0.17", "0.8.0"),
        ("docker-26.0.2", "0.6.0"),
        ("docker-26.1.0", "0.7.0"),
        ("docker-27.3", "0.7.0"),
        ("docker-27.4.0", "0.8.0"),
        ("docker-28.0", "0.8.0"),
        ("docker-28.1.0", "1.0.0"),
        ("docker-29.1", "1.0.0"),
        ("docker-29.2.0", "1.1.0"),
        ("cri-o-1.27", "0.5.0"),
        ("cri-o-1.28.0", "0.6.0"),
        ("containerd-1.7.27", "0.8.0"),
        ("podman-4.6", "0.5.0"),
        ("podman-5.4", "0.8.0"),
    ],
)
def test_releases_read_what_their_library_knows(runtime, newest):
    assert find_runtime(runtime).newest == newest


@pytest.mark.parametrize(
    "name", ["containerd", "containerd-1.6", "runc-1.4", "podman-x.y", "", "a-1.٣"]
)
def test_other_names_are_no_runtime_that_reads_cdi(name):
    assert find_runtime(name) is None


def test_the_table_of_runtimes_is_in_order_and_names_released_versions():
    for steps in SINCE.values():
        assert list(steps) == sorted(steps)
        assert {version for _, version in steps} <= set(KNOWN_VERSIONS)


def test_a_version_too_new_for_a_runtime_says_what_would_do_or_what_to_leave_out():
    old = Linter(Path("/"), [find_runtime("podman-4.1"), find_runtime("containerd-2.2")])
    for_all, not_for_podman = (
        old.text(encode_spec(value), Path("x"))
        for value in (spec(ENV, version="1.1.0"), spec(edits(additional_gids=[1]), version="0.7.0"))
    )

    assert [one.rule for one in for_all] == ["version-too-new", "version-higher-than-needed"]
    assert for_all[0].remedy.startswith("declare 0.3.0")
    assert [one.rule for one in not_for_podman] == ["version-too-new"]
    assert "do without additional group IDs" in not_for_podman[0].remedy


def test_a_spec_that_is_not_valid_is_linted_as_far_as_it_can_be_read():
    value = {
        "cdiVersion": "7",
        "kind": KIND,
        "devices": [{"name": "-", "containerEdits": {"env": ["A_TOKEN=1"]}}],
    }

    findings = Linter().text(json.dumps(value).encode(), Path("x.json"))

    assert [one.rule for one in findings] == ["invalid", "invalid", "secret-in-env"]
    assert all(one.line for one in findings[:2])
    assert "x.json" in str(findings[0])
    assert [one.rule for one in Linter().text(b"{", Path("x.json"))] == ["invalid"]


def test_what_runtimes_read_otherwise_than_it_is_written_is_an_accident():
    text = f"cdiVersion: 0.5.0\nkind: {KIND}\ndevices:\n- name: 010\n  containerEdits: {{env: [A=1]}}\n"

    findings = Linter().text(text.encode(), Path("x.yaml"))

    assert [(one.rule, one.path, one.line, one.column) for one in findings] == [
        ("accident", "devices[0].name", 4, 9)
    ]


def test_findings_have_line_and_column_and_come_in_the_order_of_the_text():
    text = f"""{{"cdiVersion": "1.0.0", "kind": "{KIND}", "devices": [
  {{"name": "-", "containerEdits": {{"env": ["A"], "mounts": [{{"hostPath": "/gone", "containerPath": "/a"}}]}}}}]}}"""

    findings = Linter().text(text.encode(), Path("x.json"))

    assert [(one.rule, one.line, one.column) for one in findings] == [
        ("version-higher-than-needed", 1, 16),
        ("invalid", 2, 12),
        ("invalid", 2, 44),
        ("mount-unbound", 2, 61),
        ("host-path-missing", 2, 74),
    ]
    assert str(findings[1]).startswith("x.json:2:12: error: devices[0].name: ")


def write(path, value, mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_spec(value))
    path.chmod(mode)
    return path


def test_modes_that_keep_readers_out_or_let_writers_in_are_told(tmp_path):
    private = write(tmp_path / "a.json", spec(ENV), 0o600)
    public = write(tmp_path / "b.json", spec(ENV), 0o666)

    assert [(one.severity, one.rule) for one in Linter().file(private)] == [
        ("warning", "file-unreadable")
    ]
    assert [(one.severity, one.rule) for one in Linter().file(public)] == [
        ("error", "file-writable")
    ]
    assert [one.rule for one in Linter().file(tmp_path / "missing.json")] == ["unreadable"]


def test_the_mode_of_what_is_no_file_is_not_told(tmp_path):
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.json", 0o666)

    for path in tmp_path.iterdir():
        assert [one.rule for one in Linter().file(path)] == ["unreadable"]


def test_directories_are_looked_at_as_a_whole(tmp_path):
    low, high = tmp_path / "low", tmp_path / "high"
    shadowed = write(low / "a.json", spec(ENV, ENV))
    write(high / "b.json", spec(ENV))
    one = write(high / "c.json", Spec("0.3.0", "x.example/y", [Device("z", ENV)]))
    two = write(high / "d.json", Spec("0.3.0", "x.example/y", [Device("z", ENV)]))
    (high / "e.yml").touch()
    (high / "f.YAML").touch()
    (high / "g.txt").touch()
    (high / "h.json").write_text("{")
    (high / "h.json").chmod(0o644)
    (tmp_path / "file").touch()

    findings = Linter().directories([low, high, tmp_path / "file", tmp_path / "missing"])

    assert [(one.rule, one.file, one.path) for one in findings] == [
        ("invalid", high / "h.json", ""),
        ("unreadable", tmp_path / "file", ""),
        ("unreadable", tmp_path / "missing", ""),
        ("file-ignored", high / "e.yml", ""),
        ("file-ignored", high / "f.YAML", ""),
        ("device-shadowed", shadowed, "devices[0].name"),
        ("device-conflict", one, "devices[0].name"),
        ("device-conflict", two, "devices[0].name"),
    ]
    assert str(two) in findings[-2].message


def test_a_directory_given_twice_shadows_nothing(tmp_path):
    write(tmp_path / "x.json", spec(ENV))

    assert Linter().directories([tmp_path, tmp_path]) == ()


def test_an_error_of_another_kind_is_a_finding_too():
    (finding,) = of_error(Path("x.json"), CdiError("odd"))

    assert (finding.rule, finding.message) == ("unreadable", "odd")


def test_the_command_takes_files_standard_input_runtimes_and_rules_to_ignore(tmp_path, capsys):
    file = write(tmp_path / "x.json", spec(ENV, version="1.1.0"))

    assert main(["lint", "--runtime", "containerd-1.7", str(file)]) == 1
    assert "[version-too-new]" in capsys.readouterr().out
    argv = ["lint", "--runtime", "containerd-1.7", "--ignore", "version-too-new", str(file)]
    assert main(argv) == 0
    assert main(["lint", "-d", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith(f"{tmp_path}: 1 info\n")
    assert main(["lint", "--runtime", "runc-1.0", str(file)]) == 2
    assert (
        "use containerd-1.7, cri-o-1.24, docker-25.0, podman-4.1 or newer"
        in capsys.readouterr().err
    )


def test_a_hostile_spec_gets_an_end_of_findings_and_short_messages():
    mounts = [Mount("relative" * 1000, f"/{number}", BIND) for number in range(600)]

    findings = Linter().text(encode_spec(spec(edits(mounts=mounts))), Path("x.json"))

    assert len(findings) == 1001
    assert findings[-1].rule == "too-many"
    assert max(len(one.message) for one in findings) < 300


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_spec_however_odd_makes_lint_fail(data):
    text = st.text(max_size=12) | st.sampled_from(
        ["/", "..", "/dev/null", "/proc/self/fd/0/x", "a\0"]
    )
    number = st.integers(-(2**63), 2**63 - 1)
    node = st.builds(
        DeviceNode, text, text, st.sampled_from(["", "c", "b", "p", "u"]), number, number
    )
    mount = st.builds(Mount, text, text, st.lists(text, max_size=2), text)
    hook = st.builds(Hook, text, text, env=st.lists(text, max_size=2))
    some = st.builds(
        ContainerEdits,
        env=st.lists(text, max_size=2),
        device_nodes=st.lists(node, max_size=2),
        hooks=st.lists(hook, max_size=2),
        mounts=st.lists(mount, max_size=2),
    )
    devices = st.lists(st.builds(Device, text, some, st.dictionaries(text, text)), max_size=2)
    value = data.draw(st.builds(Spec, text | st.just("1.1.0"), text, devices, some))

    for finding in Linter(Path("/"), [find_runtime("podman-4.1")]).text(
        encode_spec(value), Path("x")
    ):
        assert finding.rule
        assert finding.message


def test_no_path_leads_out_of_a_host_tree(tmp_path):
    (tmp_path / "secret").touch()
    host = tmp_path / "host"
    (host / "etc").mkdir(parents=True)
    (host / "etc/up").symlink_to("../../../secret")
    (host / "etc/absolute").symlink_to("/etc")
    (host / "secret").symlink_to("/etc/hostname")
    tree = HostTree(host)

    for path in (
        "/../secret",
        "/etc/up",
        "../../../secret",
        "/etc/../../secret",
        "/etc/absolute/up",
    ):
        with pytest.raises(FileNotFoundError):
            tree.stat(path)
        assert tree.place(path).is_relative_to(host)
    assert tree.stat("/etc/absolute/absolute/../etc/.").st_ino == (host / "etc").stat().st_ino
    assert tree.is_symlink("/etc/up")
    assert not tree.is_symlink("/etc")
    assert not tree.is_symlink("/gone/x")
    assert tree.place("/var/run/cdi") == host / "var/run/cdi"


def test_links_in_a_circle_end():
    with pytest.raises(OSError, match="symbolic links"):
        HostTree(Path("/proc/self")).stat("/" + "root/" * 50 + "nothing")
