"""A spec file may be written under any name of the directory, in the encoding its suffix says, and reads back equal."""

import json
import os
import stat

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pydra_cdi import (
    ContainerEdits,
    Device,
    IntelRdt,
    Mount,
    Spec,
    SpecBuilder,
    SpecDirectory,
    SpecError,
    SpecFileError,
    read_spec,
)
from pydra_cdi.file_names import named_file

KIND = "acme.example/card"
# What YAML readers take for something other than text, or fold, or refuse.
WORDS = """true Yes y NO off null ~ << = 1 0x1f 0o17 0b1 017 1_000 .5 1e3 -.inf .nan 12:30 2001-12-14 - ? : # ! & *
    | > % @ ` {} [] a: a:b a#b '"' '' -x --- ... 0000:65:00.0 <&> ' " \\ é \U0001f600"""
LINES = [
    "",
    " ",
    " a",
    "a ",
    "a: b",
    "a #b",
    "a\nb",
    "\n",
    "\t",
    "a\tb",
    "a\r\nb",
    "\x7f",
    "\x85",
    "\u2028",
]
TRICKY = st.sampled_from(
    [*WORDS.split(), *LINES, "\ufeffx", "2001-12-14 21:59:43.10 -5", "x" * 2000]
)
TEXT = TRICKY | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
INT64 = st.integers(-(2**63), 2**63 - 1)
PATHS = TEXT.map(lambda text: f"/{text}")


def spec(value="1", kind=KIND):
    return SpecBuilder(kind).device("card0").env(VALUE=value).done().build()


@st.composite
def specs(draw):
    builder = SpecBuilder(KIND).env(A=draw(TEXT))
    if draw(st.booleans()):
        builder = builder.annotate("a.example/b", draw(TEXT))
    device = builder.device("0-x.y").env(*(f"V{i}={draw(TEXT)}" for i in range(2)))
    if draw(st.booleans()):
        device = device.annotate("c", draw(TEXT)).additional_gids(draw(st.integers(0, 9)))
    device = device.mount(draw(PATHS), draw(PATHS), options=["bind", draw(TEXT)], type=draw(TEXT))
    device = device.hook("poststop", draw(PATHS), args=[draw(TEXT)], timeout=draw(INT64))
    node = {
        "major": draw(INT64),
        "file_mode": draw(st.none() | st.just(0)),
    }
    device = device.device_node(draw(PATHS), **node)
    return device.intel_rdt(enable_monitoring=draw(st.booleans())).done()


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_what_is_written_is_read_back_equal_in_every_encoding(tmp_path_factory, data):
    made = data.draw(specs()).build()
    directory = SpecDirectory(tmp_path_factory.mktemp("cdi"))
    paths = [directory.write_named(made, name).path for name in ("a.json", "b.yaml", "c")]
    paths.append(directory.write(made).path)
    assert [read_spec(path) for path in paths] == [made] * 4
    others = yaml.safe_load(paths[1].read_text(encoding="utf-8"))
    assert others == json.loads(paths[0].read_bytes()), "readers that are not ours see the same"


def test_both_texts_put_annotations_before_what_they_are_about(tmp_path):
    directory = SpecDirectory(tmp_path)
    builder = SpecBuilder(KIND).annotate("b", "<1>").annotate("a", "yes")
    made = builder.device("d").annotate("k", "v").env(A="1").done().env(B="2").build()

    assert directory.write_named(made, "x.json").path.read_text() == (
        '{"cdiVersion":"0.6.0","kind":"acme.example/card","annotations":{"a":"yes","b":"\\u003c1\\u003e"},'
        '"devices":[{"name":"d","annotations":{"k":"v"},"containerEdits":{"env":["A=1"]}}],'
        '"containerEdits":{"env":["B=2"]}}'
    )
    assert directory.write_named(made, "x.yaml").path.read_text() == (
        '---\ncdiVersion: 0.6.0\nkind: acme.example/card\nannotations:\n    a: "yes"\n    b: <1>\n'
        "devices:\n    - name: d\n      annotations:\n        k: v\n      containerEdits:\n        env:\n"
        "            - A=1\ncontainerEdits:\n    env:\n        - B=2\n"
    )


def test_empty_lists_and_truth_have_their_own_spelling(tmp_path):
    edits = ContainerEdits(intel_rdt=IntelRdt(schemata=[], enable_monitoring=True))
    made = Spec("1.1.0", KIND, [Device("d", edits)])
    path = SpecDirectory(tmp_path).write_named(made, "x").path
    assert path.read_text().endswith("schemata: []\n            enableMonitoring: true\n")
    assert read_spec(path) == made


@pytest.mark.parametrize("name", ["a.json", "a.yaml", "a"])
def test_an_unchanged_file_is_left_alone_and_a_changed_one_is_replaced(tmp_path, name):
    directory = SpecDirectory(tmp_path)
    path = directory.write_named(spec(), name).path
    os.utime(path, (1, 1))

    assert not directory.write_named(spec(), name).changed
    assert path.stat().st_mtime == 1
    assert directory.write_named(spec("2"), name).changed
    assert path.stat().st_mtime > 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert directory.remove_named(name)
    assert not directory.remove_named(name)


def test_the_file_of_another_kind_is_not_overwritten(tmp_path):
    directory = SpecDirectory(tmp_path)
    directory.write_named(spec(), "x")
    with pytest.raises(SpecFileError, match="holds a spec of kind"):
        directory.write_named(spec(kind="acme.example/other"), "x.yaml")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("a", "a.yaml"),
        ("a.json", "a.json"),
        ("a.yml", "a.yml.yaml"),
        ("/a", "a.yaml"),
        ("a/", "a.yaml"),
        ("a b", "a b.yaml"),
        ("./a", "a.yaml"),
        ("é", "é.yaml"),
        ("a..b", "a..b.yaml"),
    ],
)
def test_a_name_without_a_known_suffix_becomes_yaml(name, file):
    assert named_file(name) == file


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "/",
        "../a",
        "a/../../b",
        "a/..",
        "a/b",
        "/etc/cdi/a",
        ".hidden",
        ".json",
        "./.a",
        "x/../a",
        "a\x00b",
        "a\nb",
        "a" * 256,
        "é" * 126,
    ],
)
def test_names_that_are_no_visible_file_of_the_directory_are_refused(tmp_path, name):
    directory = SpecDirectory(tmp_path / "above" / "cdi")
    for act in (lambda: directory.write_named(spec(), name), lambda: directory.remove_named(name)):
        with pytest.raises(SpecError, match="the spec file name"):
            act()
    assert list(tmp_path.iterdir()) == []


@settings(deadline=None)
@given(st.text(max_size=300) | st.sampled_from(["..", "../x", "a/../../b", "\0", "", "/", "//"]))
def test_no_name_leads_out_of_the_directory(name):
    try:
        file = named_file(name)
    except SpecError:
        return
    assert "/" not in file
    assert "\0" not in file
    assert not file.startswith(".")
    assert file.endswith((".json", ".yaml"))
    assert len(os.fsencode(file)) <= 255


def test_a_spec_that_breaks_rules_is_written_under_no_name(tmp_path):
    made = Spec("0.3.0", KIND, [Device("a", ContainerEdits())])
    with pytest.raises(SpecError):
        SpecDirectory(tmp_path).write_named(made, "a.json")
    unbound = ContainerEdits(mounts=[Mount("/h", "/c")])
    with pytest.raises(SpecError, match="neither 'bind' nor 'rbind'"):
        SpecDirectory(tmp_path).write_named(Spec("0.3.0", KIND, [Device("a", unbound)]), "a")
    assert list(tmp_path.iterdir()) == []
