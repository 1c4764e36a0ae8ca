from __future__ import annotations

import json

import msgspec
import pytest

from pydra_cdi import ContainerEdits, DeviceNode, Mount
from pydra_core import PreparedDevice
from pydra_core._state.records import DeviceUse, Intent, Prepared
from pydra_core._state.spec_files import SpecFiles
from pydra_core.errors import DriverFailedError, HostError

UID = "0b8b4567-327b-43c6-a439-8f0fd6b7a4f2"


def card(request="card", share_id="", edits=None, device="card-0"):
    edits = edits or ContainerEdits(env=["CARD=0"], device_nodes=[DeviceNode("/dev/null")])
    return PreparedDevice(
        request=request, pool="n", device=device, share_id=share_id, edits=edits, state={"k": 1}
    )


def record(specs, *devices, uid=UID):
    rendered = specs.render(uid, devices)
    uses = tuple(DeviceUse(d.pool, d.device, d.share_id) for d in devices)
    return Prepared(
        uid=uid, namespace="ns", name="c", uses=uses, answers=rendered.answers, spec=rendered.spec
    )


@pytest.fixture
def specs(tmp_path):
    return SpecFiles(tmp_path / "cdi", "card.acme.example")


def test_a_claim_is_one_file_with_a_device_for_each_answer(specs, tmp_path):
    both = record(specs, card(), card("second"), card("shared", "5e0f2b6c"))
    assert specs.ensure(both)
    (file,) = (tmp_path / "cdi").iterdir()
    content = json.loads(file.read_bytes())
    assert content["kind"] == "card.acme.example/claim"
    names = [d["name"] for d in content["devices"]]
    assert names == [f"{UID}_card_card-0", f"{UID}_second_card-0", f"{UID}_shared_card-0_5e0f2b6c"]
    assert [a.cdi_ids for a in both.answers] == [(f"card.acme.example/claim={n}",) for n in names]


def test_an_unchanged_file_is_not_written_again_and_a_lost_one_is(specs, tmp_path):
    prepared = record(specs, card())
    assert specs.ensure(prepared)
    assert not specs.ensure(prepared)
    (file,) = (tmp_path / "cdi").iterdir()
    before = file.read_bytes()
    file.unlink()
    assert specs.ensure(prepared)
    assert file.read_bytes() == before


def test_a_device_without_edits_needs_no_file(specs, tmp_path):
    prepared = record(specs, PreparedDevice(request="card", pool="n", device="card-0"))
    assert prepared.answers[0].cdi_ids == ()
    assert not specs.ensure(prepared)
    assert not (tmp_path / "cdi").exists()


def test_edits_that_are_no_cdi_are_the_drivers_bug_and_name_the_field(specs):
    with pytest.raises(DriverFailedError, match=r"mounts\[0\]"):
        specs.render(UID, [card(edits=ContainerEdits(mounts=[Mount("", "/x")]))])


def test_what_unprepare_gets_survives_the_journal(specs):
    claim = specs.prepared_claim(record(specs, card()))
    assert claim.devices == (card(),)
    assert str(claim.ref) == "ns/c"


def test_files_of_unknown_claims_go_and_those_of_others_stay(specs, tmp_path):
    specs.ensure(record(specs, card()))
    specs.ensure(record(specs, card(), uid="gone"))
    foreign = tmp_path / "cdi" / "other.example-claim_x.json"
    foreign.write_text("{}")
    specs.remove_all_but({UID})
    left = sorted(f.name for f in (tmp_path / "cdi").iterdir())
    assert left == [f"card.acme.example-claim_{UID}.json", "other.example-claim_x.json"]


def test_what_a_lost_journal_knew_is_read_back_from_the_files_but_for_claims_it_still_knows(specs):
    lost = record(specs, card(), card("shared", "5e0f2b6c", device="card-1"))
    for each in (lost, record(specs, card(), uid="known")):
        specs.ensure(each)
    (adopted,) = specs.adopt({"known"}, "n")
    assert (adopted.uid, adopted.uses, adopted.adopted) == (UID, lost.uses, True)
    assert [a.cdi_ids for a in adopted.answers] == [a.cdi_ids for a in lost.answers]


def test_a_record_with_a_spec_that_is_no_longer_valid_can_still_be_unprepared(specs):
    good = record(specs, card())
    spec = msgspec.Raw(bytes(good.spec).replace(b'"CARD=0"', b'"no variable"'))
    old = msgspec.structs.replace(good, spec=spec)
    with pytest.raises(HostError, match="journal record"):
        specs.ensure(old)
    (device,) = specs.prepared_claim(old).devices
    assert (device.device, device.state, bool(device.edits)) == ("card-0", {"k": 1}, False)


def test_what_an_undo_was_begun_for_is_all_known_to_unprepare(specs):
    good = record(specs, card())
    undo = Intent("u", "ns", "c", good.uses, answers=good.answers, spec=good.spec)
    assert specs.prepared_claim(undo).devices == (card(),)


def test_a_file_that_could_not_be_removed_goes_with_the_next_claim(specs, tmp_path):
    specs.ensure(record(specs, card()))
    (file,) = (tmp_path / "cdi").iterdir()
    file.unlink()
    file.mkdir()  # cannot be unlinked, not even by root
    specs.remove(UID)
    assert file.exists()
    file.rmdir()
    file.write_text("{}")
    specs.ensure(record(specs, card(), uid="other"))
    assert [f.name for f in file.parent.iterdir()] == ["card.acme.example-claim_other.json"]


def test_a_file_that_could_not_be_removed_stays_when_its_claim_is_prepared_again(specs, tmp_path):
    specs.ensure(record(specs, card()))
    (file,) = (tmp_path / "cdi").iterdir()
    file.unlink()
    file.mkdir()
    specs.remove(UID)
    file.rmdir()
    specs.put(record(specs, card()))
    specs.ensure(record(specs, card(), uid="other"))
    assert file in (tmp_path / "cdi").iterdir()


def test_a_directory_that_cannot_be_made_is_the_nodes_fault(tmp_path):
    (tmp_path / "cdi").write_text("")
    specs = SpecFiles(tmp_path / "cdi", "card.acme.example")
    with pytest.raises(HostError, match="cdi"):
        specs.ensure(record(specs, card()))
