"""Files are collected by the owner written into them, and never anybody else's."""

import os
import sys

import pytest

from pydra_cdi import (
    ContainerEdits,
    Device,
    Registry,
    Spec,
    SpecBuilder,
    SpecDirectory,
    SpecError,
    SpecFileError,
    encode_spec,
    read_spec,
)
from pydra_cdi._atomic import TEMP_PREFIX, TEMP_SUFFIX
from pydra_cdi.ownership import OWNER_ANNOTATION, OwnedFile, owned_files, owner_of, with_owner

KIND = "acme.example/card"
BEFORE_OPENING = {}  # path -> what another process does just before the file is opened


def before_opening(event, args):
    if event == "open" and BEFORE_OPENING:
        BEFORE_OPENING.pop(str(args[0]), lambda: None)()


sys.addaudithook(before_opening)


def builder(value="1", kind=KIND):
    return SpecBuilder(kind).device("card0").env(VALUE=value).done()


def spec(value="1", kind=KIND):
    return builder(value, kind).build()


def test_only_files_of_the_owner_that_are_not_kept_are_removed(tmp_path):
    ours, theirs = SpecDirectory(tmp_path, owner="us"), SpecDirectory(tmp_path, owner="them")
    kept = ours.write(spec(), "kept").path
    gone = [ours.write(spec(), "gone").path, ours.write_named(spec(), "named.yaml").path]
    others = [theirs.write(spec(), "theirs").path, SpecDirectory(tmp_path).write(spec()).path]
    others.append(tmp_path / "acme.example-card_by-hand.txt")
    others[-1].write_bytes(encode_spec(builder().owner("us").build()))

    planned = ours.collect("us", keep=[kept], dry_run=True)
    assert sorted(tmp_path.iterdir()) == sorted([kept, *gone, *others])
    done = ours.collect("us", keep=[kept])

    assert planned == done
    assert done.removed == tuple(sorted(gone))
    assert (done.swept, done.unreadable) == ((), {})
    assert sorted(tmp_path.iterdir()) == sorted([kept, *others])
    assert ours.collect("us").removed == (kept,)


def test_files_that_nobody_can_read_are_reported_and_stay(tmp_path):
    directory = SpecDirectory(tmp_path, owner="us")
    bad = tmp_path / "bad.json"
    bad.write_text(f'{{"annotations": {{"{OWNER_ANNOTATION}": "us"}}')
    (tmp_path / "directory.json").mkdir()
    os.mkfifo(tmp_path / "fifo.json")
    (tmp_path / "x").write_bytes(encode_spec(builder().owner("us").build()))
    (tmp_path / "link.json").symlink_to("x")

    collected = directory.collect("us")

    assert collected.removed == ()
    assert list(collected.unreadable) == [bad]
    assert isinstance(collected.unreadable[bad], SpecError)
    assert len(list(tmp_path.iterdir())) == 5


def test_leftovers_of_killed_writers_go_too(tmp_path):
    directory = SpecDirectory(tmp_path, owner="us")
    leftover = tmp_path / f"{TEMP_PREFIX}0{TEMP_SUFFIX}"
    leftover.write_text("{")

    assert directory.collect("us", dry_run=True).swept == ()
    assert directory.collect("us").swept == (leftover,)
    assert list(tmp_path.iterdir()) == []
    assert SpecDirectory(tmp_path / "missing").collect("us").removed == ()


def test_a_directory_that_cannot_be_listed_is_an_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(
        SpecFileError, match="remove the file that stands where a directory belongs"
    ):
        SpecDirectory(tmp_path / "file").collect("us")


def test_a_file_that_is_replaced_after_it_was_read_is_not_the_one_that_was_read(tmp_path):
    ours = SpecDirectory(tmp_path, owner="us")
    path = ours.write(spec()).path
    (found,), unreadable = owned_files(tmp_path, "us")
    assert found.is_unchanged()
    assert unreadable == {}

    SpecDirectory(tmp_path).write(spec("theirs"))
    assert not found.is_unchanged()
    path.unlink()
    assert not found.is_unchanged()
    assert OwnedFile(path, (0, 0, 0)) != found


def test_an_owner_raises_the_version_no_higher_than_it_must():
    low = spec()
    assert low.cdi_version == "0.3.0"
    marked = with_owner(low, "us")
    assert (marked.cdi_version, owner_of(marked), owner_of(low)) == ("0.6.0", "us", None)
    assert marked == builder().owner("us").build()
    assert with_owner(builder().build(version="1.0.0"), "us").cdi_version == "1.0.0"
    assert with_owner(marked, "them").annotations == {OWNER_ANNOTATION: "them"}


def test_a_spec_of_no_known_version_gets_no_better_by_an_owner(tmp_path):
    odd = Spec("9.0", KIND, [Device("a", ContainerEdits(env=["A=1"]))])
    with pytest.raises(SpecError, match="cdiVersion"):
        SpecDirectory(tmp_path, owner="us").write(odd)


def test_a_marked_file_is_left_alone_when_equal_and_read_as_any_other(tmp_path):
    directory = SpecDirectory(tmp_path, owner="us")
    path = directory.write(spec()).path
    assert not directory.write(spec()).changed
    assert owner_of(read_spec(path)) == "us"
    assert list(Registry([tmp_path]).refresh().devices) == [f"{KIND}=card0"]


def test_a_file_that_its_owner_replaced_while_others_were_read_stays(tmp_path):
    directory = SpecDirectory(tmp_path, owner="us")
    first = directory.write(spec("1"), "a").path
    second = directory.write(spec("1"), "b").path
    BEFORE_OPENING[str(second)] = lambda: directory.write(spec("in use now"), "a")

    assert directory.collect("us").removed == (second,)
    assert first.exists()
