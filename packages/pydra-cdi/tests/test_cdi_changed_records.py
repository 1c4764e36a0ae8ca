"""Each recorded input with one field changed by a rule, judged as the rule says: the engine knows rules, not records."""

import copy
import gzip
import json
import re
from pathlib import Path

import msgspec
import pytest

from pydra_cdi import (
    QualifiedName,
    SpecError,
    decode_spec,
    encode_spec,
    find_faults,
    minimum_version,
    names,
)
from pydra_cdi._edits_rules import env_faults
from pydra_cdi.codec import parse_spec
from pydra_cdi.versions import FLOOR, KNOWN_VERSIONS

DATA = Path(__file__).parent / "data"


def records(name):
    text = gzip.decompress((DATA / f"{name}.jsonl.gz").read_bytes()).decode()
    return [json.loads(line) for line in text.split("\n") if line]


VALID = [r for r in records("specs") if r["valid"] and "parsed" in r]


def changed(record, **fields):
    """What the library read in a record, with fields replaced, as bytes."""
    return json.dumps({**record["parsed"], **fields}, ensure_ascii=False).encode()


def refused_paths(data):
    with pytest.raises(SpecError) as caught:
        decode_spec(data)
    return [fault.path for fault in caught.value.faults]


def number(version):
    return KNOWN_VERSIONS.index(version)


def test_devices_renamed_are_found_by_their_new_names():
    for valid in VALID:
        tree = copy.deepcopy(valid["parsed"])
        for index, device in enumerate(tree["devices"]):
            device["name"] = f"renamed{index}"
        spec = decode_spec(json.dumps(tree, ensure_ascii=False).encode())
        kind = f"{valid['vendor']}/{valid['class']}"
        expected = [f"{kind}=renamed{index}" for index in range(len(valid["devices"]))]
        assert [str(spec.device_id(device)) for device in spec.devices] == expected
        assert number(minimum_version(spec)) <= number(valid["minimum_version"])


def test_a_replaced_vendor_shows_in_every_device_id_and_changes_no_version():
    for record in VALID:
        spec = decode_spec(changed(record, kind=f"other.example/{record['class']}"))
        tails = [device.partition("/")[2] for device in record["devices"]]
        ids = [str(spec.device_id(device)) for device in spec.devices]
        assert ids == [f"other.example/{tail}" for tail in tails], record["id"]
        # An empty list is not in what the library writes, though it asked for its presence.
        if '"schemata": []' not in record.get("text", ""):
            assert minimum_version(spec) == record["minimum_version"], record["id"]


def test_an_unknown_field_is_refused_at_its_path_wherever_it_stands():
    for record in VALID:
        assert refused_paths(changed(record, zzz=None)) == ["zzz"], record["id"]
        tree = copy.deepcopy(record["parsed"])
        tree["devices"][-1]["containerEdits"]["zzz"] = 1
        path = f"devices[{len(tree['devices']) - 1}].containerEdits.zzz"
        assert refused_paths(json.dumps(tree, ensure_ascii=False).encode()) == [path], record["id"]


def test_a_version_below_the_minimum_is_refused_and_any_from_there_on_accepted():
    for record in VALID:
        if '"schemata": []' in record.get("text", ""):
            continue
        lowest = number(record["minimum_version"])
        for index, version in enumerate(KNOWN_VERSIONS):
            data = changed(record, cdiVersion=version)
            if index < lowest:
                assert refused_paths(data) == ["cdiVersion"], (record["id"], version)
            else:
                assert decode_spec(data).cdi_version == version


def test_a_device_that_is_there_twice_or_edits_nothing_is_refused():
    for record in VALID:
        devices = record["parsed"]["devices"]
        count = len(devices)
        twice = changed(record, devices=[*devices, devices[0]])
        assert refused_paths(twice) == [f"devices[{count}].name"], record["id"]
        idle = changed(record, devices=[*devices, {"name": "idle", "containerEdits": {}}])
        assert refused_paths(idle) == [f"devices[{count}].containerEdits"], record["id"]
        assert refused_paths(changed(record, devices=[])) == ["devices"], record["id"]


def test_a_good_kind_mends_the_kind_of_a_refused_spec_and_nothing_else_and_a_bad_one_spoils_any():
    refused = [r for r in records("specs") if r["stage"] == "validate" and "panic" not in r]
    for record in [*refused, *VALID]:
        paths = {}
        for kind in record["parsed"].get("kind", ""), "good.example/card", "-/-":
            found = find_faults(parse_spec(changed(record, kind=kind)))
            paths[kind] = [one.path for one in found if one.path != "cdiVersion"]
        before, good, bad = next(iter(paths.values())), paths["good.example/card"], paths["-/-"]
        assert good == [path for path in before if path != "kind"], record["id"]
        assert bad == ["kind", "kind", *good], record["id"]
    assert len(refused) > 200


def test_a_refused_spec_stays_refused_when_something_else_in_it_changes():
    refused = [r for r in records("specs") if r["stage"] == "validate" and r["format"] == "json"]
    for record in refused:
        try:
            tree = json.loads(record["text"])
        except ValueError:  # it is YAML
            continue
        tree["annotations"] = {"changed": "yes"}
        with pytest.raises(SpecError):
            decode_spec(json.dumps(tree, ensure_ascii=False).encode())


FEATURES = {
    "0.4.0": {"mounts": [{"hostPath": "/h", "containerPath": "/c", "type": "tmpfs"}]},
    "0.5.0": {"deviceNodes": [{"path": "/dev/a", "hostPath": "/dev/b"}]},
    "0.7.0": {"additionalGids": [0]},
    "1.1.0": {"netDevices": [{"hostInterfaceName": "h", "name": "n"}]},
}


@pytest.mark.parametrize("version", FEATURES)
def test_a_feature_added_raises_the_minimum_to_its_version_and_no_higher(version):
    for record in records("minversion"):
        tree = copy.deepcopy(record["spec"])
        tree["containerEdits"] = {**(tree.get("containerEdits") or {}), **FEATURES[version]}
        spec = parse_spec(json.dumps(tree, ensure_ascii=False).encode())
        before = minimum_version(parse_spec(json.dumps(record["spec"]).encode()))
        replaced = {
            key
            for key in FEATURES[version]
            if (record["spec"].get("containerEdits") or {}).get(key)
        }
        if replaced:
            continue
        assert minimum_version(spec) == max(before, version, key=number), record["id"]


def test_a_version_one_release_lower_than_the_minimum_never_validates():
    for record in records("minversion"):
        if record["minimum_version"] == FLOOR:
            continue
        spec = parse_spec(json.dumps(record["spec"], ensure_ascii=False).encode())
        lower = KNOWN_VERSIONS[number(record["minimum_version"]) - 1]
        faults = find_faults(msgspec.structs.replace(spec, cdi_version=lower))
        assert "cdiVersion" in [fault.path for fault in faults], record["id"]


NAME_RULES = {
    "vendor": names.vendor_fault,
    "class": names.class_fault,
    "device": names.device_fault,
}


@pytest.mark.parametrize("function", NAME_RULES)
def test_a_good_name_is_bad_with_a_bad_character_anywhere_and_good_with_a_letter_more(function):
    judge = NAME_RULES[function]
    for record in (r for r in records("names") if r["function"] == function and r["ok"]):
        name = record["input"]
        assert judge("", f"x{name}x") is None, record
        for bad in (f"-{name}", f"{name}-", f"x/{name}", f"{name}\n", f"{name}é", f"x {name}"):
            assert judge("", bad) is not None, record


def test_a_good_variable_is_bad_without_its_name_and_a_bad_one_good_with_a_name_before_it():
    for record in (r for r in records("names") if r["function"] == "env"):
        named = f"NAME={record['input']}"
        assert list(env_faults([named], "")) == []
        if record["ok"]:
            assert list(env_faults(["=" + record["input"]], "")) != []
            assert list(env_faults([record["input"].replace("=", "")], "")) != []


def test_a_good_device_id_is_bad_without_one_of_its_signs_and_another_with_another_name():
    for record in (r for r in records("names") if r["function"] == "qualified" and r["ok"]):
        text = record["input"]
        assert QualifiedName.parse(f"{text}2").name == f"{record['parts']['name']}2"
        for bad in (text.replace("=", ""), text.replace("/", ""), f"-{text}", f"{text}="):
            with pytest.raises(SpecError):
                QualifiedName.parse(bad)


@pytest.mark.parametrize("function", NAME_RULES)
def test_a_bad_name_is_good_without_its_bad_characters_and_bad_again_with_one(function):
    judge, bad = NAME_RULES[function], [r for r in records("names") if not r["ok"]]
    for record in (r for r in bad if r["function"] == function):
        name = "a" + re.sub("[^A-Za-z0-9_.-]", "", record["input"]) + "a"
        assert judge("", name) is None, record
        assert judge("", name.replace("a", "a/", 1)) is not None, record
        assert judge("", "") is not None


def test_a_bad_device_id_is_good_as_the_name_of_another_without_its_bad_characters():
    for record in records("names"):
        if record["function"] == "qualified" and not record["ok"]:
            name = "a" + re.sub("[^A-Za-z0-9_.:-]", "", record["input"]) + "a"
            assert QualifiedName.parse(f"v.example/c={name}").name == name
            for bad in (f"/{record['input']}", f"=x/{record['input']}", f"v.example/c={name}="):
                with pytest.raises(SpecError):
                    QualifiedName.parse(bad)


def test_whatever_is_split_is_all_name_or_all_class_behind_a_vendor():
    for record in records("names"):
        text, parts = record["input"], record["parts"]
        match record["function"]:
            case "split":
                assert names.split_device_id(f"v/c={text}x") == ("v", "c", f"{text}x")
                found = names.split_device_id(f"{text}x")
                if record["ok"]:
                    assert found == (parts["vendor"], parts["class"], f"{parts['name']}x")
            case "kind":
                assert names.split_kind(f"v/{text}x") == ("v", f"{text}x")
                if record["ok"]:
                    assert names.split_kind(f"{text}x") == (parts["vendor"], f"{parts['class']}x")
            case "qualify":
                vendor, device_class, name = text
                joined = names.join_device_id(f"x{vendor}", device_class, f"{name}x")
                assert joined == f"x{parts['qualified']}x"
            case _:
                pass


def test_what_was_read_from_a_record_and_changed_in_python_is_written_and_read_alike():
    for record in VALID:
        spec = msgspec.structs.replace(parse_spec(changed(record)), cdi_version="1.1.0")
        assert decode_spec(encode_spec(spec)) == spec, record["id"]
