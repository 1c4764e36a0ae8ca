"""A refresh reads what changed and only that, and shows one state while others write and remove files."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pydra_cdi import Registry, SpecBuilder, SpecDirectory, SpecFileError, encode_spec, inject

KIND = "acme.example/card"
LONG_THERE = Path(__file__).parent / "data" / "old.json"

# Runs in its own process: replaces one file as fast as it can and makes and removes another, until told to end.
BUSY_WRITER = """
import sys
from pathlib import Path
from pydra_cdi import SpecBuilder, SpecDirectory
directory = SpecDirectory(Path(sys.argv[1]))
specs = [SpecBuilder("acme.example/card").device("card0").env(VALUE=c * 5000).done().build() for c in "ab"]
other = SpecBuilder("acme.example/card").device("card1").env(VALUE="c").done().build()
directory.write(specs[0])
print("begun", flush=True)
turn = 0
while not Path(sys.argv[2]).exists():
    turn += 1
    directory.write(specs[turn % 2])
    directory.write(other, "other")
    directory.remove("acme.example/card", "other")
"""


BEFORE_OPENING = {}  # path -> what another process does just before the file is opened


def before_opening(event, args):
    if event == "open" and BEFORE_OPENING:
        BEFORE_OPENING.pop(str(args[0]), lambda: None)()


sys.addaudithook(before_opening)


def spec(*names, value="1"):
    builder = SpecBuilder(KIND)
    for name in names or ("card0",):
        builder = builder.device(name).env(VALUE=value).done()
    return builder.build()


def value_of(snapshot):
    return snapshot.find(f"{KIND}=card0").device.container_edits.env[0]


def test_nothing_changed_means_the_same_snapshot(tmp_path):
    directory = SpecDirectory(tmp_path)
    registry = Registry([tmp_path, tmp_path / "missing"])
    empty = registry.snapshot
    assert registry.refresh() is empty

    directory.write(spec())
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "dangling.json").symlink_to("nowhere")
    first = registry.refresh()
    assert first is not empty
    assert registry.refresh() is first
    directory.path.touch()
    assert registry.refresh() is first


def test_files_that_did_not_change_are_not_read_again(tmp_path):
    directory = SpecDirectory(tmp_path)
    kept = directory.write(spec("kept"), "kept").path
    moving = directory.write(spec("x"), "moving").path
    registry = Registry([tmp_path])
    before = registry.refresh()

    directory.write(spec("y"), "moving")
    after = registry.refresh()

    assert sorted(after.devices) == [f"{KIND}=kept", f"{KIND}=y"]
    assert after.find(f"{KIND}=kept") is before.find(f"{KIND}=kept")
    assert [loaded.path for loaded in after.specs] == [kept, moving]
    moving.unlink()
    assert sorted(registry.refresh().devices) == [f"{KIND}=kept"]
    assert sorted(before.devices) == [f"{KIND}=kept", f"{KIND}=x"], "a snapshot never changes"


def test_a_file_written_in_place_twice_in_one_tick_of_the_clock_is_seen_both_times(tmp_path):
    path = SpecDirectory(tmp_path).write(spec(value="a")).path
    registry = Registry([tmp_path])
    for value in "bcdefgh":
        path.write_bytes(encode_spec(spec(value=value)))
        assert value_of(registry.refresh()) == f"VALUE={value}"


def test_a_file_that_has_long_been_there_is_the_same_until_it_is_replaced(tmp_path):
    link = tmp_path / "x.json"
    link.symlink_to(LONG_THERE)
    registry = Registry([tmp_path])
    before = registry.refresh()
    (tmp_path / "other.json").write_bytes(encode_spec(spec("other")))
    assert registry.refresh().find(f"{KIND}=card0") is before.find(f"{KIND}=card0")

    link.unlink()
    link.write_bytes(encode_spec(spec(value="new")))
    assert value_of(registry.refresh()) == "VALUE=new"
    assert value_of(before) == "VALUE=old"


@pytest.mark.parametrize("turn_bad_first", [False, True])
def test_a_file_that_turns_bad_or_good_is_told_anew(tmp_path, turn_bad_first):
    path = tmp_path / "x.json"
    texts = [b"{", encode_spec(spec())]
    registry = Registry([tmp_path])
    for text in texts if turn_bad_first else texts[::-1]:
        path.write_bytes(text)
        snapshot = registry.refresh()
        assert bool(snapshot.errors) == (text == b"{")
        assert bool(snapshot.devices) == (text != b"{")


def test_a_bad_file_that_turns_bad_otherwise_is_told_anew_and_one_that_stays_as_it_is_is_not(
    tmp_path,
):
    path = tmp_path / "x.json"
    registry = Registry([tmp_path])
    told = []
    for text in ("{", "[]", "[]", "{}"):
        path.write_text(text)
        told.append(registry.refresh())

    assert [str(one.errors[path][0]) for one in told[:2]] != [str(told[1].errors[path][0])] * 2
    assert told[1] is told[2]
    assert len({str(one.errors[path]) for one in told}) == 3


def test_the_first_directory_that_cannot_be_listed_ends_the_reading(tmp_path):
    low, plain, high = tmp_path / "low", tmp_path / "plain", tmp_path / "high"
    SpecDirectory(low).write(spec("low"))
    SpecDirectory(high).write(spec("high"))
    plain.write_text("x")
    registry = Registry([low, plain, high])

    snapshot = registry.refresh()

    assert list(snapshot.devices) == [f"{KIND}=low"]
    assert snapshot.errors == {}
    assert list(snapshot.unread) == [plain, high]
    assert all(isinstance(error, SpecFileError) for error in snapshot.unread.values())
    assert str(snapshot.unread[plain]).startswith(
        f"{plain}: it cannot be listed: Not a directory; "
    )
    assert str(snapshot.unread[high]).endswith(f"see to {plain}")
    assert registry.refresh() is snapshot
    with pytest.raises(Exception, match=f"not used because of errors: {plain}, {high}"):
        inject({}, [f"{KIND}=high"], snapshot)

    plain.unlink()
    assert sorted(registry.refresh().devices) == [f"{KIND}=high", f"{KIND}=low"]


def test_while_another_process_writes_and_removes_every_snapshot_is_whole(tmp_path):
    directory, end = tmp_path / "cdi", tmp_path / "end"
    command = [sys.executable, "-c", BUSY_WRITER, str(directory), str(end)]
    registry = Registry([directory])
    seen, others = set(), set()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout.readline() == b"begun\n"
            for _ in range(300):
                snapshot = registry.refresh()
                assert snapshot.errors == {}
                seen.add(value_of(snapshot))
                others.add(len(snapshot.devices))
        finally:
            end.touch()
    assert writer.returncode == 0
    assert seen <= {f"VALUE={letter * 5000}" for letter in "ab"}
    assert others <= {1, 2}


def test_a_file_that_vanishes_after_it_was_listed_was_never_there(tmp_path):
    kept, gone = (SpecDirectory(tmp_path).write(spec(name), name).path for name in "ab")
    BEFORE_OPENING[str(gone)] = gone.unlink

    snapshot = Registry([tmp_path]).refresh()

    assert BEFORE_OPENING == {}
    assert [loaded.path for loaded in snapshot.specs] == [kept]
    assert snapshot.errors == {}


def test_a_file_replaced_after_it_was_looked_at_is_read_again_the_next_time(tmp_path):
    directory = SpecDirectory(tmp_path)
    path = directory.write(spec(value="a")).path
    BEFORE_OPENING[str(path)] = lambda: directory.write(spec(value="b"))
    registry = Registry([tmp_path])

    assert value_of(registry.refresh()) == "VALUE=b"
    directory.write(spec(value="c"))
    assert value_of(registry.refresh()) == "VALUE=c"


def test_threads_may_refresh_one_registry_at_once(tmp_path):
    directory = SpecDirectory(tmp_path)
    directory.write(spec("card0"))
    registry = Registry([tmp_path])
    wrong = []

    def read():
        for _ in range(50):
            snapshot = registry.refresh()
            if snapshot.errors or not snapshot.find(f"{KIND}=card0"):
                wrong.append(snapshot)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for turn in range(50):
        directory.write(spec("card0", value=f"{turn}"))
    for reader in readers:
        reader.join()
    assert wrong == []


def test_the_same_directory_listed_twice_is_no_conflict(tmp_path):
    SpecDirectory(tmp_path).write(spec())
    snapshot = Registry([tmp_path, Path(f"{tmp_path}/../{tmp_path.name}")]).refresh()
    assert snapshot.conflicts == {}
    assert snapshot.find(f"{KIND}=card0").origin.priority == 1
