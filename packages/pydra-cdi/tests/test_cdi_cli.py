"""`pydra-cdi` from a shell: what it prints for people and for programs, and how it ends."""

import importlib
import io
import itertools
import json
import os
import runpy
import subprocess
import sys
import threading
from importlib.metadata import version
from pathlib import Path

import jsonschema
import pytest
import yaml

from pydra_cdi import SpecBuilder, SpecDirectory
from pydra_cdi._cli import output
from pydra_cdi.cli import COMMANDS, main

PROGRAM = Path(sys.executable).with_name("pydra-cdi")
CARD, KEY = "acme.example/card", "beta.example/key"


@pytest.fixture
def node(tmp_path, monkeypatch):
    """A node with two cards and a key; the second card is also defined where it counts."""
    monkeypatch.chdir(tmp_path)
    host = Path("node")
    cards = SpecBuilder(CARD).env(ACME="1").device("card0").env(CARD="0").done()
    cards = cards.device("card1").env(CARD="1").done()
    SpecDirectory(host / "etc/cdi").write(cards.build())
    card1 = SpecBuilder(CARD).device("card1").mount("/opt/acme", "/opt/acme").done()
    SpecDirectory(host / "var/run/cdi", owner="driver").write(card1.build(), "claim-1")
    key = SpecBuilder(KEY).device("k").env(KEY="yes").done()
    SpecDirectory(host / "var/run/cdi").write(key.build("1.1.0"))
    return host


@pytest.fixture
def run(capsys):
    def call(*argv):
        code = main([*map(str, argv)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


@pytest.fixture
def data(run):
    """Run with `-o json`; the other format must say the same."""

    def call(*argv):
        code, out, _ = run(*argv, "-o", "json")
        assert run(*argv, "-o", "yaml")[0] == code
        return json.loads(out)

    return call


def give(monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_devices_are_listed_with_the_file_that_counts(node, run, data):
    code, out, err = run("devices", "--host", node)

    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "DEVICE                   SPEC FILE",
        "acme.example/card=card0  node/etc/cdi/acme.example-card.json",
        "acme.example/card=card1  node/var/run/cdi/acme.example-card_claim-1.json",
        "beta.example/key=k       node/var/run/cdi/beta.example-key.json",
    ]
    assert data("devices", "--host", node)[2] == {
        "device": f"{KEY}=k",
        "file": "node/var/run/cdi/beta.example-key.json",
        "priority": 1,
    }


def test_details_of_devices_say_what_a_container_gets(node, run, data):
    code, out, _ = run("devices", "-v", "--host", node)

    assert code == 0
    assert out.startswith(f"{CARD}=card0:\n  file: node/etc/cdi/")
    card0 = data("devices", "-v", "--host", node)[0]
    assert card0["containerEdits"] == {"env": ["CARD=0"]}
    assert card0["specEdits"] == {"env": ["ACME=1"]}


def test_spec_directories_are_given_once_or_often_before_the_command_or_after_it(node, data):
    low, high = node / "etc/cdi", node / "var/run/cdi"

    for argv in (
        ("-d", f"{low},{high}", "dirs"),
        ("-d", low, "dirs", "-d", high),
        ("dirs", "--spec-dirs", low, "--spec-dirs", high),
        ("dirs", "--host", node),
    ):
        assert data(*argv) == [
            {"directory": str(low), "priority": 0, "files": 1, "errors": 0, "state": "read"},
            {"directory": str(high), "priority": 1, "files": 2, "errors": 0, "state": "read"},
        ]


def test_the_default_directories_are_those_of_this_machine(data):
    assert [row["directory"] for row in data("dirs")] == ["/etc/cdi", "/var/run/cdi"]


def test_dirs_tell_directories_that_are_not_read_and_files_with_errors(tmp_path, data):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/x.json").write_text("{")
    (tmp_path / "file").write_text("")

    rows = data("dirs", "-d", f"{tmp_path}/bad,{tmp_path}/file,{tmp_path}/missing")

    assert [(row["state"], row["errors"]) for row in rows] == [
        ("read", 1),
        ("not read", 0),
        ("not read", 0),
    ]


def test_vendors_and_classes_are_counted(node, run, data):
    assert data("vendors", "--host", node) == [
        {"vendor": "acme.example", "files": 2},
        {"vendor": "beta.example", "files": 1},
    ]
    assert data("classes", "--host", node)[0] == {"class": "card", "vendors": ["acme.example"]}
    assert run("classes", "--host", node)[1].splitlines()[2] == "key    beta.example"
    assert run("vendors", "--host", node)[1].splitlines()[1] == "acme.example  2"


def test_specs_are_listed_for_all_vendors_or_some(node, run, data):
    assert [row["devices"] for row in data("specs", "--host", node)] == [
        ["card0", "card1"],
        ["card1"],
        ["k"],
    ]
    code, out, err = run("specs", "beta.example", "--host", node)
    assert (code, err) == (0, "")
    assert out.splitlines()[1].split() == [
        "node/var/run/cdi/beta.example-key.json",
        KEY,
        "1.1.0",
        "1",
    ]
    code, out, err = run("specs", "nobody.example", "--host", node)
    assert (code, out) == (1, "")
    assert "no valid spec file is of vendor nobody.example" in err


def test_details_of_specs_are_yaml_that_keeps_text_as_text(node, run, data):
    _, out, _ = run("specs", "-v", "beta.example", "--host", node)

    assert yaml.safe_load(out)["node/var/run/cdi/beta.example-key.json"]["spec"]["devices"] == [
        {"name": "k", "containerEdits": {"env": ["KEY=yes"]}}
    ]
    assert data("specs", "-v", "--host", node)[2]["spec"]["cdiVersion"] == "1.1.0"


@pytest.mark.parametrize("command", ["devices", "vendors", "classes", "specs"])
def test_an_empty_node_is_told_to_people_and_is_an_empty_list_to_programs(
    tmp_path, run, data, command
):
    code, out, err = run(command, "-d", tmp_path / "cdi")

    assert (code, out) == (0, "")
    assert f"in {tmp_path}/cdi" in err
    assert data(command, "-d", tmp_path / "cdi") == []


def test_lists_say_that_files_are_left_out(node, run):
    (node / "etc/cdi/a.json").write_text("{")
    assert "1 file has errors" in run("devices", "--host", node)[2]
    (node / "etc/cdi/b.json").write_text("{")
    assert "2 files have errors" in run("devices", "--host", node)[2]


def test_a_host_whose_var_run_is_a_link_is_read_below_that_host(tmp_path, data):
    (tmp_path / "var").mkdir()
    (tmp_path / "var/run").symlink_to("/run")
    directory = SpecDirectory(tmp_path / "run/cdi")
    written = directory.write(SpecBuilder(KEY).device("k").env(A="1").done().build()).path

    assert [row["file"] for row in data("devices", "--host", tmp_path)] == [str(written)]


def test_a_host_with_links_in_a_circle_is_told(tmp_path, run):
    (tmp_path / "etc").symlink_to("etc")

    code, _, err = run("devices", "--host", tmp_path)

    assert code == 1
    assert "/etc/cdi cannot be found in it" in err


def test_an_empty_option_is_not_taken_for_the_default_directories(run):
    code, _, err = run("gc", "--owner", "driver", "-d", "")

    assert code == 2
    assert "-d names no directory" in err


@pytest.mark.parametrize(
    "argv",
    [
        ["gc", "--owner", ""],
        ["gc", "--owner", "driver", "--keep", ""],
        ["gc", "--owner", "driver", "--keep", "acme.example-card_claim-1"],
        ["devices", "--host", ""],
        ["lint", "--host", "missing"],
        ["lint", "--ignore", "host-path-mising"],
        ["monitor", "--count", "0"],
        ["monitor", "--count", "-1"],
    ],
)
def test_values_that_cannot_be_meant_are_wrong_usage_and_nothing_is_done(node, capsys, argv):
    host = [] if "--host" in argv else ["--host", str(node)]

    with pytest.raises(SystemExit) as ended:
        main([*argv, *host])

    assert ended.value.code == 2
    assert f"argument {argv[-2]}" in capsys.readouterr().err
    assert (node / "var/run/cdi/acme.example-card_claim-1.json").exists()


def test_a_directory_that_is_not_there_is_told_once_and_counts_as_empty(tmp_path, run):
    missing = tmp_path / "missing"

    for command in ("validate", "lint", "minver", "devices", "dirs"):
        code, _, err = run(command, "-d", missing)
        assert code == 0
        assert err.count(f"pydra-cdi: {missing} does not exist, so it counts as empty") == 1
    assert run("gc", "--owner", "x", "-d", missing)[0] == 0


def test_validate_finds_nothing_on_a_good_node(node, run, data):
    assert run("validate", "--host", node) == (0, "3 files: no findings\n", "")
    assert data("validate", "--host", node) == []


def test_validate_tells_each_fault_of_each_file(node, run, data):
    (node / "etc/cdi/bad.json").write_text('{"cdiVersion": "0.3.0", "kind": "x"}')

    code, out, _ = run("validate", "--host", node)

    assert code == 1
    assert "error: devices: " in out
    assert out.endswith("4 files: 2 errors\n")
    finding = data("validate", node / "etc/cdi/bad.json")[0]
    assert (finding["rule"], finding["line"], finding["column"]) == ("invalid", 1, 1)


def test_validate_goes_through_the_files_in_the_order_of_reading(node, run):
    directory = node / "etc/cdi"
    (directory / "zz.json").write_text("{")
    (directory / "b.json").write_bytes((directory / "acme.example-card.json").read_bytes())
    (directory / "aa.json").write_text("{")

    code, out, _ = run("validate", "--host", node)

    assert code == 1
    told = [line.partition(":")[0] for line in out.splitlines() if line.startswith("node/")]
    assert told == sorted(told)
    assert len(set(told)) == 4


def test_validate_takes_files_and_standard_input(node, run, monkeypatch):
    good = node / "etc/cdi/acme.example-card.json"

    assert run("validate", good) == (0, "1 file: no findings\n", "")
    give(monkeypatch, good.read_text())
    assert run("validate", "-", good)[:2] == (0, "2 files: no findings\n")
    give(monkeypatch, "")
    assert run("validate", "-")[0] == 1
    code, out, _ = run("validate", node / "missing.json")
    assert code == 1
    assert "[unreadable]" in out


def test_standard_input_is_bounded(run, monkeypatch):
    give(monkeypatch, " " * (8 * 1024 * 1024 + 1))

    code, out, _ = run("validate", "-")

    assert code == 1
    assert "more than 8388608 bytes" in out


def test_explain_tells_the_winner_and_who_is_shadowed(node, run, data):
    code, out, _ = run("explain", f"{CARD}=card1", "--host", node)

    assert code == 0
    assert out.startswith(f"{CARD}=card1 comes from node/var/run/cdi/acme.example-card_claim-1")
    told = data("explain", f"{CARD}=card1", "--host", node)
    assert [one["fate"] for one in told["definitions"]] == ["shadowed", "wins"]
    assert told["file"] == told["definitions"][1]["file"]


def test_explain_of_a_device_nobody_can_have_is_a_finding(node, run, data):
    (node / "etc/cdi/bad.json").write_text("{")

    code, out, _ = run("explain", f"{CARD}=card9", "--host", node)

    assert code == 1
    assert "cannot be injected" in out
    told = data("explain", f"{CARD}=card9", "--host", node)
    assert told["file"] is None
    assert [one["file"] for one in told["unused"]] == ["node/etc/cdi/bad.json"]
    assert f"{CARD}=card1" in told["near"]


def test_explain_of_something_that_is_no_device_id_is_wrong_usage(run):
    code, _, err = run("explain", "card0")

    assert code == 2
    assert "vendor/class=name" in err


def test_minver_tells_what_needs_the_version(node, run, data):
    rows = data("minver", "--host", node)

    assert [(row["declared"], row["minimum"]) for row in rows] == [
        ("0.3.0", "0.3.0"),
        ("0.6.0", "0.6.0"),
        ("1.1.0", "0.3.0"),
    ]
    assert rows[1]["because"] == "annotations (annotations)"
    code, out, err = run("minver", node / "var/run/cdi/beta.example-key.json", "missing.json")
    assert code == 1
    assert out.splitlines()[1].split()[1:] == ["1.1.0", "0.3.0", "every", "spec"]
    assert "missing.json" in err


def test_minver_converts_a_spec_that_runtimes_then_read(node, run):
    file = node / "var/run/cdi/beta.example-key.json"

    code, out, _ = run("minver", "--to", "v0.5.0", file)
    assert (code, json.loads(out)["cdiVersion"]) == (0, "0.5.0")
    code, out, _ = run("minver", "--to", "0.4.0", file, "-o", "yaml")
    assert (code, yaml.safe_load(out)["cdiVersion"]) == (0, "0.4.0")


def test_minver_cannot_convert_to_any_version_or_several_files(node, run):
    file = node / "var/run/cdi/acme.example-card_claim-1.json"

    assert run("minver", "--to", "0.3.0", file)[0] == 1
    code, _, err = run("minver", "--to", "2.0", file)
    assert code == 2
    assert "0.3.0, 0.4.0" in err
    assert run("minver", "--to", "0.3.0")[0] == 2


def test_gc_removes_the_files_of_the_owner_that_are_not_kept(node, run, data):
    mine = node / "var/run/cdi/acme.example-card_claim-1.json"
    (node / "var/run/cdi/broken.json").write_text("{")
    (node / "var/run/cdi/.pydra-cdi.0123456789abcdef.tmp").write_text("")

    assert data("gc", "--owner", "driver", "--dry-run", "--host", node) == [
        {"file": str(mine), "action": "would be removed"}
    ]
    assert data("gc", "--owner", "driver", "--keep", mine.name, "--dry-run", "--host", node) == []
    code, out, err = run("gc", "--owner", "driver", "--host", node)

    assert code == 0
    assert [line.partition("  ")[2].strip() for line in out.splitlines()[1:]] == [
        "removed",
        "removed: left by a killed writer",
    ]
    assert "broken.json" in err
    assert not mine.exists()
    assert (node / "etc/cdi/acme.example-card.json").exists()


def test_gc_tells_what_it_removed_though_another_directory_cannot_be_cleaned(node, run):
    mine = node / "var/run/cdi/acme.example-card_claim-1.json"
    (node / "file").touch()

    code, out, err = run("gc", "--owner", "driver", "-d", f"{node}/file,{mine.parent}")

    assert code == 1
    assert out.splitlines()[1].split() == [str(mine), "removed"]
    assert f"{node}/file: it cannot be changed: Not a directory" in err


def test_inject_prints_the_new_oci_spec(node, data):
    Path("config.json").write_text('{"process": {"env": ["A=\\/b"]}}')

    assert data("inject", "config.json", f"{CARD}=card1", f"{KEY}=k", "--host", node) == {
        "process": {"env": ["A=/b", "KEY=yes"]},
        "mounts": [
            {
                "destination": "/opt/acme",
                "source": "/opt/acme",
                "options": ["ro", "nosuid", "nodev", "rbind"],
            }
        ],
    }


def test_inject_takes_patterns_on_each_side_of_the_slash(node, run, monkeypatch):
    give(monkeypatch, "b: &b {env: [B=2]}\nprocess:\n  <<: *b\n  none: ~\n")
    code, out, _ = run("inject", "-", f"{CARD}=card0", "*/c*=card?", "--host", node, "-o", "yaml")

    assert code == 0
    assert yaml.safe_load(out)["process"] == {"env": ["B=2", "ACME=1", "CARD=0"], "none": None}
    give(monkeypatch, "{}")
    code, out, err = run("inject", "-", "*", "--host", node)
    assert (code, out) == (1, "")
    assert "no CDI device matches *" in err


def test_devices_that_cannot_be_had_are_told_and_nothing_is_printed(node, run, monkeypatch):
    give(monkeypatch, "{}")

    code, out, err = run("inject", "-", f"{CARD}=card7", "--host", node)

    assert (code, out) == (1, "")
    assert f"unresolvable CDI devices: {CARD}=card7" in err


@pytest.mark.parametrize("text", ["{", "[" * 5000, "{'", '{"a":' * 100000])
def test_what_is_no_oci_spec_is_told_with_the_file(run, monkeypatch, text):
    give(monkeypatch, text)

    code, _, err = run("resolve", "-")

    assert code == 1
    assert err.startswith("pydra-cdi: -: it is no OCI spec: ")


def test_resolve_replaces_the_device_ids_among_the_devices(node, data):
    devices = [{"path": f"{CARD}=card1"}, {"path": "/dev/x"}, 7]
    Path("config.json").write_text(json.dumps({"linux": {"devices": devices}}))

    resolved = data("resolve", "config.json", "--host", node)

    assert resolved["linux"]["devices"] == [{"path": "/dev/x"}, 7]
    assert [mount["destination"] for mount in resolved["mounts"]] == ["/opt/acme"]


@pytest.mark.parametrize("spec", [{}, {"linux": None}, {"linux": {"devices": None}}])
def test_resolve_leaves_an_oci_spec_without_devices_as_it_is(node, data, spec):
    Path("config.json").write_text(json.dumps(spec))

    assert data("resolve", "config.json", "--host", node) == spec


def test_an_oci_spec_that_is_no_object_is_told(node, run, monkeypatch):
    give(monkeypatch, "7")

    code, _, err = run("inject", "-", f"{KEY}=k", "--host", node)

    assert code == 1
    assert "the OCI spec is no object" in err


@pytest.mark.parametrize("form", ["table", "json", "yaml"])
def test_monitor_prints_what_is_there_and_again_when_it_changes(node, capsys, form):
    directory, done = SpecDirectory(node / "var/run/cdi"), threading.Event()

    def keep_writing():
        for number in itertools.count():
            spec = SpecBuilder(KEY).device(f"n{number}").env(A="1").done().build()
            directory.write(spec, f"n{number}")
            if done.wait(0.02):
                return

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        code = main(["monitor", "--host", str(node), "--count", "3", "-v", "-o", form])
    finally:
        done.set()
        writer.join()

    out = capsys.readouterr().out
    assert code == 0
    assert out.count("beta.example/key=k") == 3
    assert {"table": "VENDOR", "json": '"vendors"', "yaml": "---"}[form] in out


@pytest.mark.usefixtures("node")
def test_monitor_tells_a_program_at_once():
    argv = [PROGRAM, "monitor", "devices", "--host", "node", "-o", "json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as program:
        assert json.loads("".join(iter(program.stdout.readline, "}\n")) + "}")["devices"]
        program.terminate()


def test_monitor_prints_only_what_was_asked_for(node, data):
    assert list(data("monitor", "devices", "classes", "--count", "1", "--host", node)) == [
        "devices",
        "classes",
    ]


def test_monitor_says_when_it_must_look_from_time_to_time(tmp_path, run):
    code, _, err = run("monitor", "--count", "1", "-d", tmp_path / ("x" * 300))

    assert code == 0
    assert "inotify cannot be used" in err


def test_the_schema_takes_the_files_of_the_node(node, data):
    schema = data("schema")

    for row in data("specs", "-v", "--host", node):
        jsonschema.Draft202012Validator(schema).validate(row["spec"])


def test_wrong_usage_ends_with_2_and_says_what_there_is(capsys):
    for argv in (["nonsense"], [], ["devices", "-o", "xml"], ["gc"]):
        with pytest.raises(SystemExit) as ended:
            main(argv)
        assert ended.value.code == 2
    assert "usage: pydra-cdi" in capsys.readouterr().err


def test_every_command_has_help_that_names_the_exit_codes(capsys):
    for argv in ([], *([command.name] for command in COMMANDS)):
        with pytest.raises(SystemExit) as ended:
            main([*argv, "--help"])
        assert ended.value.code == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert "exit codes: 0 fine" in shown
        offers_tables = bool(argv) and argv[0] not in {"inject", "resolve", "schema"}
        assert ("a table for people, or json or yaml for programs" in shown) == offers_tables
        assert ("(default json)" in shown) == (bool(argv) and not offers_tables)


def test_the_version_is_that_of_the_distribution(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])

    assert capsys.readouterr().out == f"pydra-cdi {version('pydra-cdi')}\n"


def test_ctrl_c_ends_quietly(run, monkeypatch):
    class Interrupted:
        @property
        def buffer(self):
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", Interrupted())

    assert run("validate", "-") == (130, "", "")


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize("argv", [[PROGRAM], [sys.executable, "-m", "pydra_cdi"]])
def test_the_program_runs_from_a_shell_and_survives_a_closed_pipe(argv):
    argv = [*argv, "devices", "--host", "node"]
    whole = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "card0" in whole.stdout
    read, write = os.pipe()
    os.close(read)

    closed = subprocess.run(argv, stdout=write, stderr=subprocess.PIPE, check=False)

    os.close(write)
    assert (closed.returncode, closed.stderr) == (1, b"")


@pytest.mark.usefixtures("node")
def test_the_module_is_the_program(monkeypatch, capsys):
    assert importlib.import_module("pydra_cdi.__main__").main is main
    monkeypatch.setattr(sys, "argv", ["pydra_cdi", "vendors", "--host", "node"])
    monkeypatch.delitem(sys.modules, "pydra_cdi.__main__")

    with pytest.raises(SystemExit) as ended:
        runpy.run_module("pydra_cdi", run_name="__main__")

    assert ended.value.code == 0
    assert "acme.example  2" in capsys.readouterr().out


@pytest.mark.usefixtures("node")
def test_output_that_cannot_be_written_is_a_failure_and_a_closed_pipe_a_quiet_one(
    monkeypatch, capsys
):
    read, write = os.pipe()
    os.close(read)
    for place, told in (
        ("/dev/full", "pydra-cdi: the output cannot be written: No space left on device\n"),
        (write, ""),
    ):
        with open(place, "w") as out:  # noqa: PTH123 - one of the places is a descriptor
            monkeypatch.setattr(sys, "stdout", out)
            assert main(["devices", "--host", "node"]) == 1
        assert capsys.readouterr().err == told


@pytest.mark.usefixtures("node")
def test_a_terminal_gets_lines_that_fit_it(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())

    assert main(["devices", "--host", "node"]) == 0

    lines = terminal.getvalue().splitlines()
    assert len(lines) > 4
    assert max(map(len, lines)) <= 60


def test_streams_that_a_shell_closed_are_no_mistake_of_the_program(node, monkeypatch):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    try:
        assert main(["devices", "--host", str(node)]) == 0
        assert main(["validate", "-"]) == 1
        assert main(["explain", "x"]) == 2
    finally:
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            stream.close()


@pytest.mark.parametrize(
    "value",
    [[], {}, [{}], [[]], [1, 2.5, 1e17, -0.0, float("inf"), None, True], {"": [[1, [2]], []]}],
)
def test_yaml_for_programs_says_what_json_says(value):
    assert yaml.safe_load(output.as_yaml(value)) == value
    assert yaml.safe_load(output.as_yaml({"a": value})) == {"a": value}


def test_what_the_encoding_cannot_say_is_escaped(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))

    output.write("é\n")
    sys.stdout.flush()

    assert raw.getvalue() == b"\\xe9\n"


def test_no_value_commands_the_terminal(node, run):
    """A hostile spec file cannot move the cursor: neither by its name nor by its text."""
    evil = "\x1b[2J\u202e\x9b"
    text = json.dumps({"cdiVersion": evil, "kind": KEY, "devices": []})
    (node / f"etc/cdi/{evil}.json").write_text(text)
    good = SpecBuilder("evil.example/x").device("x").env(A=evil).done().build()
    SpecDirectory(node / "etc/cdi").write(good)

    for argv in (("validate",), ("lint",), ("devices", "-v"), ("explain", f"{KEY}=z")):
        for form in ("table", "json", "yaml"):
            _, out, err = run(*argv, "--host", node, "-o", form)
            assert set(out + err).isdisjoint(evil[0] + evil[-2:])


def test_the_library_loads_no_command_and_its_help_no_rules_and_no_yaml():
    code = (
        "import sys, pydra_cdi\n"
        "early = {n for n in sys.modules if n.startswith(('pydra_cdi._cli', 'pydra_cdi._lint', 'argparse'))}\n"
        "from pydra_cdi.cli import main\n"
        "late = {'yaml', 'asyncio', 'pydra_cdi.lint', 'pydra_cdi.watching'} & set(sys.modules)\n"
        "sys.exit(str(early | late) if early | late else 0)\n"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
