"""Whoever watches a registry learns of every change, whatever happens to the directories, and of nothing else."""

import asyncio
import resource
import select
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from pydra_cdi import Registry, SpecBuilder, SpecDirectory, encode_spec
from pydra_cdi.watching import RegistryWatcher

KIND = "acme.example/card"
LONG_S = 30  # a wait this long means the change was missed


def spec(*names, value="1"):
    builder = SpecBuilder(KIND)
    for name in names:
        builder = builder.device(name).env(VALUE=value).done()
    return builder.build()


def names_of(snapshot):
    return sorted(device.device.name for device in snapshot.devices.values())


def changed(watcher):
    """The names after the next change, waited for on the descriptor as a program's own loop would."""
    while True:
        assert select.select([watcher], [], [], LONG_S)[0], "no change was seen"
        if (snapshot := watcher.check()) is not None:
            return names_of(snapshot)


@contextmanager
def no_more_files():
    """As in a process that has all the files open that it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "cdi").mkdir()
    return tmp_path / "cdi"


@pytest.fixture
def watcher(directory):
    with RegistryWatcher(Registry([directory])) as opened:
        yield opened


def test_files_written_replaced_and_removed_are_seen(directory, watcher):
    writer = SpecDirectory(directory)
    assert watcher.polling_because is None
    assert watcher.check() is None

    writer.write(spec("a"))
    assert changed(watcher) == ["a"]
    writer.write(spec("a", "b"))
    assert changed(watcher) == ["a", "b"]
    writer.remove(KIND)
    assert changed(watcher) == []
    assert watcher.wait_for_change(0.01) is None


def test_a_file_renamed_in_from_elsewhere_linked_and_renamed_out_is_seen(
    tmp_path, directory, watcher
):
    outside = tmp_path / "outside.json"
    outside.write_bytes(encode_spec(spec("moved")))
    outside.rename(directory / "moved.json")
    assert changed(watcher) == ["moved"]

    outside.write_bytes(encode_spec(spec("linked")))
    (directory / "linked.json").symlink_to(outside)
    assert changed(watcher) == ["linked", "moved"]

    (directory / "moved.json").rename(tmp_path / "gone.json")
    assert changed(watcher) == ["linked"]


def test_files_behind_a_directory_link_that_is_swapped_are_seen(directory):
    for name in ("one", "two"):
        (directory / name).mkdir()
        (directory / name / "x.json").write_bytes(encode_spec(spec(name)))
    (directory / "..data").symlink_to("one")
    (directory / "x.json").symlink_to("..data/x.json")
    with RegistryWatcher(Registry([directory])) as watcher:
        assert watcher.check() is None
        (directory / "..next").symlink_to("two")
        (directory / "..next").rename(directory / "..data")
        assert changed(watcher) == ["two"]


def test_what_is_no_spec_file_wakes_nobody_up_with_a_change(tmp_path, directory, watcher):
    (directory / "half.tmp").write_text("{")
    (directory / "readme.txt").write_text("x")
    (tmp_path / "beside").mkdir()
    SpecDirectory(tmp_path / "beside").write(spec("x"))
    assert watcher.check() is None


def test_directories_may_be_missing_and_be_made_removed_and_made_again(tmp_path):
    target = tmp_path / "deep" / "er" / "cdi"
    with RegistryWatcher(Registry([target])) as watcher:
        for turn in ("first", "second"):
            SpecDirectory(target).write(spec(turn))
            assert changed(watcher) == [turn]
            SpecDirectory(target).remove(KIND)
            assert changed(watcher) == []
            for path in (target, target.parent, target.parent.parent):
                path.rmdir()
            assert watcher.check() is None


def test_a_directory_moved_away_with_its_files_is_seen_and_so_is_its_successor(tmp_path):
    target = tmp_path / "deep" / "cdi"
    SpecDirectory(target).write(spec("old"))
    with RegistryWatcher(Registry([target])) as watcher:
        (tmp_path / "deep").rename(tmp_path / "away")
        assert changed(watcher) == []
        SpecDirectory(tmp_path / "away" / "cdi").write(spec("unseen"))
        SpecDirectory(target).write(spec("new"))
        assert changed(watcher) == ["new"]


def test_a_linked_directory_is_followed_and_so_is_a_link_that_changes(tmp_path):
    (tmp_path / "link").symlink_to("one/../target")
    with RegistryWatcher(Registry([tmp_path / "link"])) as watcher:
        (tmp_path / "one").mkdir()
        SpecDirectory(tmp_path / "target").write(spec("behind"))
        assert changed(watcher) == ["behind"]

        SpecDirectory(tmp_path / "other").write(spec("other"))
        (tmp_path / "next").symlink_to(tmp_path / "other")
        (tmp_path / "next").rename(tmp_path / "link")
        assert changed(watcher) == ["other"]


def test_a_link_that_leads_to_itself_and_a_file_in_the_way_are_seen_when_mended(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("x")
    directories = [tmp_path / "file" / "cdi", tmp_path / "loop"]
    with RegistryWatcher(Registry(directories), poll_interval_s=0.001) as watcher:
        assert "Too many levels" in watcher.polling_because
        (tmp_path / "loop").unlink()
        (tmp_path / "file").unlink()
        SpecDirectory(directories[0]).write(spec("a"))
        assert names_of(watcher.wait_for_change(LONG_S)) == ["a"]
        assert watcher.polling_because is None


def test_one_directory_may_lie_in_another(tmp_path):
    outer, inner = SpecDirectory(tmp_path / "cdi"), SpecDirectory(tmp_path / "cdi" / "inner")
    with RegistryWatcher(Registry([outer.path, inner.path])) as watcher:
        inner.write(spec("in"))
        assert changed(watcher) == ["in"]
        outer.write(spec("out"))
        assert changed(watcher) == ["in", "out"]


def test_more_events_than_the_kernel_keeps_lose_nothing(directory, watcher):
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 100_000:
        pytest.skip("this kernel keeps so many events that overflowing it takes too long")
    busy = directory / "busy.txt"
    busy.touch()
    other = directory / "busy2.txt"
    for _ in range(limit // 2 + 2):  # two renames are four events that cannot be merged
        busy.rename(other)
        other.rename(busy)
    SpecDirectory(directory).write(spec("late"))
    assert changed(watcher) == ["late"]


def test_without_inotify_the_directories_are_looked_at_and_the_reason_is_told(directory):
    registry = Registry([directory])
    with no_more_files():
        watcher = RegistryWatcher(registry, poll_interval_s=0.001)
        assert watcher.wait_for_change(0.01) is None
    with watcher:
        assert "Too many open files" in watcher.polling_because
        assert watcher.fileno() == -1
        SpecDirectory(directory).write(spec("a"))
        assert names_of(watcher.wait_for_change(LONG_S)) == ["a"]
        assert watcher.polling_because is None, "inotify is used as soon as it can be"
        assert watcher.fileno() >= 0


def test_a_directory_that_cannot_be_watched_is_looked_at(tmp_path, directory):
    impossible = tmp_path / ("x" * 300)
    with RegistryWatcher(Registry([directory, impossible]), poll_interval_s=0.001) as watcher:
        assert "File name too long" in watcher.polling_because
        SpecDirectory(directory).write(spec("a"))
        assert names_of(watcher.wait_for_change()) == ["a"]
        assert watcher.wait_for_change(0.01) is None


async def test_a_task_waits_for_changes_and_may_be_cancelled_without_losing_one(directory, watcher):
    waiting = asyncio.create_task(watcher.next_change())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    SpecDirectory(directory).write(spec("a"))
    async with asyncio.timeout(LONG_S):
        assert names_of(await watcher.next_change()) == ["a"]


async def test_a_task_waits_without_inotify_too(directory):
    with no_more_files():
        watcher = RegistryWatcher(Registry([directory]), poll_interval_s=0.001)
        waiting = asyncio.create_task(watcher.next_change())
        await asyncio.sleep(0)
    async with asyncio.timeout(LONG_S):
        assert not (await waiting).unread, "the directory can be listed again"
        SpecDirectory(directory).write(spec("a"))
        assert names_of(await watcher.next_change()) == ["a"]
    watcher.close()
    watcher.close()


def test_a_waiting_thread_is_told_what_others_refreshed_as_well(directory):
    registry = Registry([directory])
    with RegistryWatcher(registry) as watcher:
        found = []
        thread = threading.Thread(target=lambda: found.append(watcher.wait_for_change(LONG_S)))
        thread.start()
        SpecDirectory(directory).write(spec("a"))
        registry.refresh()
        thread.join()
    assert names_of(found[0]) == ["a"]
