"""Annotations that ask for CDI devices are made and read as the reference library makes and reads them."""

import gzip
import json
from pathlib import Path

import pytest

from pydra_cdi import SpecError
from pydra_cdi.annotations import (
    annotation_key,
    annotation_value,
    parse_annotations,
    update_annotations,
)

RECORDED = gzip.decompress((Path(__file__).parent / "data/annotations.jsonl.gz").read_bytes())
RECORDS = [json.loads(line) for line in RECORDED.decode().split("\n") if line]


def of(function, *, ok=None):
    found = [record for record in RECORDS if record["function"] == function]
    return found if ok is None else [record for record in found if record["ok"] is ok]


def answer(record):
    """Our answer in the words of the record."""
    given = record["input"]
    try:
        match record["function"]:
            case "annotation_key":
                return {"key": annotation_key(*given)}
            case "annotation_value":
                return {"value": annotation_value(given)}
            case "parse_annotations":
                keys, devices = parse_annotations(given)
                devices = devices if len(keys) == 1 else sorted(devices)
                return {"devices": list(devices) or None, "keys": sorted(keys) or None}
            case _:
                names = given["plugin"], given["device_id"], given["devices"]
                return {"annotations": update_annotations(given["annotations"], *names)}
    except SpecError:
        return None


def test_every_record_is_answered_as_recorded():
    wrong = {
        json.dumps(record): answer(record)
        for record in RECORDS
        if answer(record) != (record["parts"] if record["ok"] else None)
    }
    assert wrong == {}
    assert len(RECORDS) == len({json.dumps(record) for record in RECORDS}) > 60


def test_a_longer_device_id_gives_a_longer_key_up_to_63_bytes():
    for record in of("annotation_key", ok=True):
        plugin, device_id = record["input"]
        key = record["parts"]["key"]
        room = 63 - len(key.removeprefix("cdi.k8s.io/"))
        assert annotation_key(plugin, device_id + "9" * room) == key + "9" * room
        with pytest.raises(SpecError, match="longer than 63"):
            annotation_key(plugin, device_id + "9" * (room + 1))
        with pytest.raises(SpecError, match="plugin: it is empty"):
            annotation_key("", device_id)


def test_a_device_more_is_a_device_more_in_the_value_and_a_bad_one_spoils_it():
    for record in of("annotation_value", ok=True):
        more = [*record["input"], "new.example/card=x"]
        assert annotation_value(more) == record["parts"]["value"] + ",new.example/card=x"
        with pytest.raises(SpecError, match="'x' is not valid"):
            annotation_value([*more, "x"])


def test_a_key_more_asks_for_its_devices_too_and_names_itself_when_they_are_wrong():
    for record in of("parse_annotations"):
        given = {**record["input"], "cdi.k8s.io/last": "new.example/card=x"}
        if record["ok"]:
            found = parse_annotations(given)
            assert found.keys[-1] == "cdi.k8s.io/last"
            assert found.device_ids[-1] == "new.example/card=x"
            assert sorted(found.device_ids[:-1]) == sorted(record["parts"]["devices"] or [])
        else:
            assert answer({**record, "input": given}) is None
        with pytest.raises(SpecError, match=r"annotation cdi\.k8s\.io/"):
            parse_annotations({**record["input"], "cdi.k8s.io/last": "none"})


def test_the_annotations_given_stay_and_a_key_is_never_used_twice():
    for record in of("update_annotations", ok=True):
        given = record["input"]
        names = given["plugin"], given["device_id"], given["devices"]
        before = dict(given["annotations"] or {})
        after = update_annotations(given["annotations"], *names)
        assert (given["annotations"] or {}) == before
        assert before.items() <= after.items()
        with pytest.raises(SpecError, match="is used already"):
            update_annotations(after, *names)
