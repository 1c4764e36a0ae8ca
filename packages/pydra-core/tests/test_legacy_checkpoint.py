"""What is read of the kubelet's own file, in its formats and in none."""

from __future__ import annotations

import json
import os

import pytest

from pydra_core._legacy import checkpoint as module
from pydra_core._legacy.checkpoint import Checkpoint

CARD, SEAT = "acme.example/card", "acme.example/seat"
NOT_SEEN = "devices of init containers are not seen"


def entry(ids, resource=CARD, container="init"):
    return {
        "PodUID": "8b1e7a52-0000-4000-8000-000000000001",
        "ContainerName": container,
        "ResourceName": resource,
        "DeviceIDs": ids,
        "AllocResp": "CgUKAWESAA==",
    }


def content(*entries):
    data = {"PodDeviceEntries": list(entries) or None, "RegisteredDevices": {CARD: ["card-9"]}}
    return json.dumps({"Data": data, "Checksum": 3405691582}).encode()


@pytest.fixture
def read(tmp_path):
    """The names in a file of this content."""
    file = tmp_path / module.FILE_NAME
    reader = Checkpoint(file)

    def names(content):
        file.write_bytes(content)
        return reader.names()

    return names


def test_the_ids_of_all_containers_are_read_whichever_their_numa_nodes(read):
    found = read(
        content(entry({"0": ["card-0"], "1": ["card-1", "card-0"]}), entry({"-1": ["s"]}, SEAT))
    )
    assert found == {(CARD, "card-0"), (CARD, "card-1"), (SEAT, "s")}


def test_the_ids_of_a_kubelet_before_1_20_are_read(read):
    assert read(content(entry(["card-0", "card-1"]))) == {(CARD, "card-0"), (CARD, "card-1")}


@pytest.mark.parametrize("ids", [{}, {"0": None}, [], None])
def test_a_container_without_ids_has_none(read, ids, caplog):
    assert read(content(entry(ids))) == set()
    assert not caplog.records


def test_a_kubelet_that_gave_nothing_yet_names_nothing(read, caplog):
    assert read(content()) == set()
    assert not caplog.records


GARBAGE = {
    "empty": b"",
    "cut": content(entry({"0": ["card-0"]}))[:-30],
    "not-json": b"\x00\xff" * 40,
    "not-utf-8": content(entry({"0": ["card-0"]})).replace(b"card-0", b"card-\xff"),
    "deep": b'{"Data":' + b"[" * 100_000,
    "deep-beside": b'{"More":' + b"[" * 100_000,
    "text-as-data": json.dumps(
        {"Data": content(entry(["card-0"])).decode(), "Checksum": 1}
    ).encode(),
    "other-names": b'{"Data":{"Entries":[]},"Checksum":1}',
    "other-ids": content(entry({"0": [{"id": "card-0"}]})),
    "a-list": b"[]",
}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
def test_what_is_in_no_known_format_names_nothing_and_that_is_said(read, content, caplog):
    assert read(content) == set()
    (told,) = caplog.records
    assert (told.getMessage(), told.levelname) == (NOT_SEEN, "WARNING")
    assert "its format is not known here" in told.why


def test_a_file_that_is_too_large_names_nothing_and_is_not_read_to_its_end(tmp_path, caplog):
    file = tmp_path / module.FILE_NAME
    file.touch()
    os.truncate(file, 1 << 40)
    assert Checkpoint(file).names() == set()
    assert f"larger than {module.LARGEST} bytes" in caplog.records[0].why


def test_a_file_of_thousands_of_containers_is_read(read):
    many = [entry({"0": [f"card-{n}"]}) | {"AllocResp": "A" * 400} for n in range(5_000)]
    assert len(read(content(*many))) == 5_000


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda _: None], ids=["fifo", "dir", "none"])
def test_what_is_no_file_names_nothing_and_holds_nobody_up(tmp_path, make, caplog):
    path = tmp_path / module.FILE_NAME
    make(path)
    assert Checkpoint(path).names() == set()
    assert [r.getMessage() for r in caplog.records] == [NOT_SEEN]


def test_that_it_cannot_be_read_is_said_once_until_it_could(read, caplog):
    for text in (b"", b"{", content(), b"[]", b""):
        read(text)
    assert [r.getMessage() for r in caplog.records] == [NOT_SEEN] * 2
