from __future__ import annotations

import asyncio
import errno
import os
import resource
import threading

import pytest

from pydra_core._state import frames, records
from pydra_core._state.journal import Journal
from pydra_core._state.records import FORMAT, DeviceAnswer, DeviceUse, Intent, Prepared, Released
from pydra_core.errors import ConfigError, DeviceBusyError, HostError


def prepared(uid, device="card-0"):
    return Prepared(
        uid=uid, namespace="ns", name=uid, uses=(DeviceUse("node", device),), answers=()
    )


async def write(path, *records):
    journal = Journal(path)
    for record in records:
        await journal.transact(lambda _, record=record: [record], durable=True)
    await journal.close()


async def uids(path):
    journal = Journal(path)
    found = [r.uid for r in journal.ledger.all_prepared()]
    await journal.close()
    return found


async def test_what_was_written_is_there_after_a_restart(tmp_path):
    await write(tmp_path / "journal", prepared("a"), prepared("b", "card-1"), Released("a"))
    assert await uids(tmp_path / "journal") == ["b"]


async def test_a_refused_transaction_writes_nothing(tmp_path):
    journal = Journal(tmp_path / "journal")
    await journal.transact(lambda _: [prepared("a")], durable=True)
    size = (tmp_path / "journal").stat().st_size

    def reserve(ledger):
        ledger.check_free("b", [DeviceUse("node", "card-0")])
        return [Intent("b", "ns", "b", (DeviceUse("node", "card-0"),))]

    with pytest.raises(DeviceBusyError):
        await journal.transact(reserve, durable=True)
    assert (tmp_path / "journal").stat().st_size == size
    await journal.close()


async def test_many_transactions_at_once_all_survive(tmp_path):
    journal = Journal(tmp_path / "journal")
    await asyncio.gather(
        *(
            journal.transact(lambda _, i=i: [prepared(f"c{i}", f"card-{i}")], durable=True)
            for i in range(200)
        )
    )
    await journal.close()
    assert len(await uids(tmp_path / "journal")) == 200


def at_once(journal, change):
    """Whether a quick transaction is done before anybody else gets a turn of the event loop."""
    step = journal.transact(change, durable=False, quick=True)
    try:
        step.send(None)
    except StopIteration:
        return True
    step.close()
    return False


async def test_a_quick_transaction_is_done_at_once_and_told_like_any_other(tmp_path):
    journal = Journal(tmp_path / "journal")
    told = []
    journal.changed.append(lambda: told.append(len(journal.ledger.all_prepared())))
    assert at_once(journal, lambda _: [prepared("a")])
    assert told == [1]
    with pytest.raises(DeviceBusyError):
        at_once(journal, lambda ledger: ledger.check_free("b", [DeviceUse("node", "card-0")]))
    await journal.transact(lambda _: [prepared("b", "card-1")], durable=True)
    await journal.close()
    assert await uids(tmp_path / "journal") == ["a", "b"]


async def test_a_quick_transaction_waits_for_those_before_it(tmp_path):
    journal = Journal(tmp_path / "journal")
    begun, goes_on = threading.Event(), threading.Event()

    def slow(_):
        begun.set()
        goes_on.wait()
        return [prepared("a")]

    first = asyncio.ensure_future(journal.transact(slow, durable=False))
    asyncio.get_running_loop().call_soon(lambda: asked.append(at_once(journal, lambda _: [])))
    asked: list[bool] = []  # while the turn is about to begin
    while not begun.is_set():  # noqa: ASYNC110 (the journal's thread)
        await asyncio.sleep(0)
    asked.append(at_once(journal, lambda _: []))
    goes_on.set()
    await first
    assert asked == [False, False]
    await journal.close()


async def idle(journal):
    """Wait until the thread has nothing to do."""
    while journal._busy or journal._called:  # noqa: ASYNC110 (whoever asked is told before)
        await asyncio.sleep(0)


async def test_a_quick_transaction_waits_in_the_thread_for_another_instance(tmp_path):
    ours, theirs = Journal(tmp_path / "journal"), Journal(tmp_path / "journal")
    await ours.refresh()
    await idle(ours)
    with theirs.locks.holding(0, 1.0):
        assert not at_once(ours, lambda _: [prepared("a")])
    await idle(ours)
    assert at_once(ours, lambda _: [prepared("b", "card-1")])
    await theirs.transact(lambda _: [prepared("c", "card-2")], durable=False, quick=True)
    assert len(theirs.ledger.all_prepared()) == 3
    for journal in (ours, theirs):
        await journal.close()


async def test_nothing_is_appended_at_once_to_a_file_that_must_be_mended(tmp_path):
    path = tmp_path / "journal"
    journal = Journal(path)
    await journal.transact(lambda _: [prepared("a")], durable=True)
    path.unlink()
    await journal.transact(lambda _: [prepared("b", "card-1")], durable=False, quick=True)
    await journal.close()
    assert await uids(path) == ["a", "b"]


async def test_after_a_sync_that_failed_the_file_is_written_anew_in_the_thread(
    tmp_path, monkeypatch
):
    journal = Journal(tmp_path / "journal")

    def fails(_fd):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", fails)
        with pytest.raises(HostError):
            await journal.transact(lambda _: [prepared("a")], durable=True)
    await idle(journal)
    assert not at_once(journal, lambda _: [prepared("b")])
    await journal.close()


async def test_a_torn_last_record_is_dropped_and_the_rest_kept(tmp_path):
    path = tmp_path / "journal"
    await write(path, prepared("a"), prepared("b", "card-1"))
    whole = path.read_bytes()
    for cut in range(len(whole) - 1, len(whole) - 20, -1):
        path.write_bytes(whole[:cut])
        assert await uids(path) == ["a"]
        assert list(tmp_path.glob("*.damaged-*")) == []


async def test_a_flipped_record_in_the_middle_costs_only_itself_and_the_file_is_kept(tmp_path):
    path = tmp_path / "journal"
    await write(path, prepared("a"), prepared("b", "card-1"), prepared("c", "card-2"))
    data = bytearray(path.read_bytes())
    data[data.index(b'"uid":"b"') + 7] ^= 1
    path.write_bytes(data)
    assert await uids(path) == ["a", "c"]
    (aside,) = tmp_path.glob("*.damaged-*")
    assert aside.read_bytes() == data


async def three(path):
    await write(path, prepared("a"), prepared("b", "card-1"), prepared("c", "card-2"))
    return path.read_bytes()


async def test_a_flipped_bit_anywhere_costs_at_most_the_record_it_is_in(tmp_path):
    data = await three(tmp_path / "journal")
    ends = [f.end for f in frames.read(data, frames.HEADER_SIZE)]
    for place in range(frames.HEADER_SIZE, len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        items = list(frames.read(bytes(flipped), frames.HEADER_SIZE))
        left = {records.decode(i.payload).uid for i in items if isinstance(i, frames.Frame)}
        struck = "abc"[sum(end <= place for end in ends)]
        assert left >= set("abc") - {struck}
        assert any(isinstance(item, frames.Damage) for item in items)


@pytest.mark.parametrize("record", range(3))
@pytest.mark.parametrize("byte", range(4))
async def test_a_flipped_length_costs_nothing(tmp_path, record, byte):
    path = tmp_path / "journal"
    data = bytearray(await three(path))
    starts = [frames.HEADER_SIZE, *(f.end for f in frames.read(bytes(data), frames.HEADER_SIZE))]
    data[starts[record] + byte] ^= 0x10
    path.write_bytes(data)
    assert await uids(path) == ["a", "b", "c"]
    (aside,) = tmp_path.glob("*.damaged-*")
    assert aside.read_bytes() == data


@pytest.mark.parametrize("place", range(len(frames.MAGIC)))
async def test_a_flipped_header_costs_nothing(tmp_path, place):
    path = tmp_path / "journal"
    data = bytearray(await three(path))
    data[place] ^= 1
    path.write_bytes(data)
    assert await uids(path) == ["a", "b", "c"]
    (aside,) = tmp_path.glob("*.damaged-*")
    assert aside.read_bytes() == data


def zeroed(data, start, end):
    return data[:start] + bytes(end - start) + data[end:]


def grown_and_flipped(data, start, end):
    return data[: start + 1] + b"\x7f" + data[start + 2 : end - 1] + b"!" + data[end:]


def foreign(data, start, end):
    return data[:start] + frames.frame(b'{"op":"moved","uid":"b"}') + data[end:]


def endless(data, start, end):
    state = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    answer = b'{"request":"r","pool":"p","device":"d","state":' + state + b"}"
    record = (
        b'{"op":"prepared","uid":"b","namespace":"","name":"","uses":[],"answers":['
        + answer
        + b"]}"
    )
    return data[:start] + frames.frame(record) + data[end:]


@pytest.mark.parametrize("damage", [zeroed, grown_and_flipped, foreign, endless])
async def test_a_record_lost_in_the_middle_is_no_torn_write(tmp_path, damage):
    """What was answered is gone: spec files are asked, and the file is kept for a person."""
    path = tmp_path / "journal"
    data = await three(path)
    first, second, _ = (f.end for f in frames.read(data, frames.HEADER_SIZE))
    data = damage(data, first, second)
    path.write_bytes(data)
    journal = Journal(path)
    assert [r.uid for r in journal.ledger.all_prepared()] == ["a", "c"]
    assert journal.adopts
    await journal.close()
    (aside,) = tmp_path.glob("*.damaged-*")
    assert aside.read_bytes() == data


async def test_zeros_behind_the_last_record_are_a_torn_write(tmp_path):
    path = tmp_path / "journal"
    path.write_bytes(await three(path) + bytes(5000))
    assert await uids(path) == ["a", "b", "c"]
    assert {f.name for f in tmp_path.iterdir()} == {"journal", "journal.lock"}


async def test_a_damaged_journal_is_set_aside_once_however_often_the_driver_starts(tmp_path):
    path = tmp_path / "journal"
    data = bytearray(await three(path))
    data[-5] ^= 1
    for _ in range(2):
        path.write_bytes(data)
        assert await uids(path) == ["a", "b"]
    assert len(list(tmp_path.glob("journal.damaged-*"))) == 1


async def test_a_record_too_large_to_be_read_again_is_refused(tmp_path):
    journal = Journal(tmp_path / "journal")
    with pytest.raises(HostError, match="cannot hold claim a"):
        await journal.transact(lambda _: [prepared("a", "x" * frames.MAX_PAYLOAD)], durable=True)
    assert journal.ledger.all_prepared() == ()
    await journal.close()


@pytest.mark.parametrize("depth", [101, 900, 975])
async def test_a_state_that_may_be_too_deep_to_be_read_again_is_refused(tmp_path, depth):
    state = {}
    for _ in range(depth):
        state = {"a": state}
    answer = DeviceAnswer("r", "node", "card-0", state=state)
    journal = Journal(tmp_path / "journal")
    with pytest.raises(HostError, match="cannot hold claim a: state is nested more than 100"):
        await journal.transact(
            lambda _: [Prepared("a", "ns", "a", (), answers=(answer,))], durable=True
        )
    await journal.close()
    assert await uids(tmp_path / "journal") == []


async def test_the_ledger_learns_of_a_claim_only_once_it_is_on_disk(tmp_path):
    journal = Journal(tmp_path / "journal")
    seen = []

    def look(ledger):
        seen.append(ledger.prepared("a"))
        return []

    def write(ledger):
        assert ledger.prepared("a") is None
        return [prepared("a")]

    await asyncio.gather(  # the first takes a turn of its own, so the others run in one
        journal.transact(lambda _: [], durable=False),
        journal.transact(write, durable=True),
        journal.transact(look, durable=False),
    )
    assert seen == [None]
    assert journal.ledger.prepared("a") == prepared("a")
    await journal.close()


async def test_a_reservation_counts_before_it_is_on_disk(tmp_path):
    journal = Journal(tmp_path / "journal")
    intent = Intent("a", "ns", "a", (DeviceUse("node", "card-0"),))

    def reserve(ledger):
        ledger.check_free("b", intent.uses)
        return []

    outcomes = await asyncio.gather(
        journal.transact(lambda _: [intent], durable=True),
        journal.transact(reserve, durable=True),
        return_exceptions=True,
    )
    assert outcomes[0] is None
    assert isinstance(outcomes[1], DeviceBusyError)
    await journal.close()


async def test_a_journal_of_a_newer_version_is_refused_untouched(tmp_path):
    path = tmp_path / "journal"
    data = frames.header(FORMAT + 1) + b"who knows"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="newer driver"):
        Journal(path)
    assert path.read_bytes() == data


@pytest.mark.parametrize("length", range(frames.HEADER_SIZE))
async def test_a_journal_killed_while_it_was_created_starts_afresh(tmp_path, length):
    path = tmp_path / "journal"
    path.write_bytes(frames.header(FORMAT)[:length])
    await write(path, prepared("a"))
    assert await uids(path) == ["a"]


async def test_a_file_that_is_no_journal_is_set_aside(tmp_path):
    path = tmp_path / "journal"
    path.write_bytes(b"precious notes of somebody else")
    assert await uids(path) == []
    (aside,) = tmp_path.glob("*.damaged-*")
    assert aside.read_bytes() == b"precious notes of somebody else"


async def test_a_large_journal_is_compacted_and_means_the_same(tmp_path):
    path = tmp_path / "journal"
    journal = Journal(path)
    filler = "x" * 60_000
    for i in range(40):
        await journal.transact(
            lambda _, i=i: [prepared(f"c{i}", filler), Released(f"c{i}")], durable=True
        )
    await journal.transact(lambda _: [prepared("last")], durable=True)
    await journal.close()
    assert path.stat().st_size < 1 << 20
    assert await uids(path) == ["last"]


async def test_two_journals_open_at_once_see_each_others_records(tmp_path):
    path = tmp_path / "journal"
    old, new = Journal(path), Journal(path)
    for number in range(20):
        writer, reader = (old, new) if number % 2 else (new, old)
        record = prepared(f"c{number}", f"card-{number}")
        await writer.transact(lambda _, record=record: [record], durable=True)
        await reader.refresh()
        assert reader.ledger.prepared(record.uid) == record
        with pytest.raises(DeviceBusyError):
            await reader.transact(
                lambda ledger, r=record: ledger.check_free("x", r.uses), durable=True
            )
    await old.close()
    await new.close()
    assert len(await uids(path)) == 20


async def test_a_compaction_by_one_instance_is_followed_by_the_other(tmp_path):
    path = tmp_path / "journal"
    old, new = Journal(path), Journal(path)
    filler = "x" * 60_000
    await old.transact(lambda _: [prepared("kept", "card-9")], durable=True)
    for i in range(40):
        await new.transact(
            lambda _, i=i: [prepared(f"c{i}", filler), Released(f"c{i}")], durable=True
        )
    await old.transact(lambda _: [prepared("late", "card-8")], durable=True)
    await old.close()
    await new.refresh()
    assert {r.uid for r in new.ledger.all_prepared()} == {"kept", "late"}
    await new.close()


async def test_a_file_of_the_same_size_in_its_place_is_noticed(tmp_path):
    path = tmp_path / "journal"
    journal = Journal(path)
    await journal.transact(lambda _: [prepared("a")], durable=True)
    await write(tmp_path / "other", prepared("b"))
    (tmp_path / "other").rename(path)
    await journal.refresh()
    assert [r.uid for r in journal.ledger.all_prepared()] == ["b"]
    await journal.close()


async def test_what_an_instance_left_half_written_when_it_died_is_cut_off_by_the_other(tmp_path):
    path = tmp_path / "journal"
    journal = Journal(path)
    await journal.transact(lambda _: [prepared("a")], durable=True)
    with path.open("ab") as dying:
        dying.write(frames.frame(records.encode(prepared("b", "card-1")))[:-3])
    await journal.transact(lambda _: [prepared("c", "card-2")], durable=True)
    await journal.close()
    assert await uids(path) == ["a", "c"]
    assert list(tmp_path.glob("*.damaged-*")) == []


async def test_nothing_is_written_behind_what_a_dead_instance_left_half_written(tmp_path):
    path = tmp_path / "journal"
    journal = Journal(path)
    with path.open("ab") as dying:
        dying.write(frames.frame(records.encode(prepared("b", "card-1")))[:-3])
    reserved = Intent("c", "ns", "c", (DeviceUse("node", "card-2"),))
    await journal.transact(lambda _: [reserved], durable=False)
    (item,) = frames.read(path.read_bytes(), frames.HEADER_SIZE)
    assert records.decode(item.payload) == reserved
    await journal.close()


async def test_a_write_that_breaks_off_leaves_nothing_behind(tmp_path):
    path = tmp_path / "journal"
    journal = Journal(path)
    await journal.transact(lambda _: [prepared("a")], durable=True)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 30, hard))
    try:
        with pytest.raises(HostError, match="cannot be written"):
            await journal.transact(lambda _: [prepared("b", "card-1")], durable=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    await journal.close()


async def test_a_journal_somebody_removed_is_written_anew_with_all_it_held(tmp_path):
    path = tmp_path / "journal"
    journal = Journal(path)
    await journal.transact(lambda _: [prepared("a")], durable=True)
    path.unlink()
    await journal.transact(lambda _: [prepared("b", "card-1")], durable=True)
    await journal.close()
    assert await uids(path) == ["a", "b"]


async def test_a_newer_instance_that_migrates_the_file_leaves_the_older_one_what_it_knows(tmp_path):
    path = tmp_path / "journal"
    journal = Journal(path)
    await journal.transact(lambda _: [prepared("a")], durable=True)
    newer = tmp_path / "newer"
    newer.write_bytes(frames.header(FORMAT + 1) + b"who knows")
    newer.rename(path)
    for _ in range(2):
        with pytest.raises(ConfigError, match="newer driver"):
            await journal.transact(lambda _: [prepared("b", "card-1")], durable=True)
    assert journal.ledger.prepared("a") is not None
    assert path.read_bytes() == frames.header(FORMAT + 1) + b"who knows"
    await journal.close()


FORMAT_1 = [
    b'{"op":"intent","uid":"i","namespace":"ns","name":"i","uses":[{"pool":"node","device":"card-1"}]}',
    (
        b'{"op":"prepared","uid":"p","namespace":"ns","name":"p","uses":[{"pool":"node","device":"card-0",'
        b'"share_id":"s"}],"answers":[{"request":"r","pool":"node","device":"card-0","cdi_ids":["a/b=c"],'
        b'"state":{"n":1}}],"spec":null}'
    ),
    b'{"op":"prepared","uid":"q","namespace":"ns","name":"q","uses":[],"answers":[],"spec":null}',
    b'{"op":"released","uid":"q"}',
]


async def test_a_journal_of_format_1_is_migrated_forward_with_all_it_says(tmp_path):
    path = tmp_path / "journal"
    path.write_bytes(frames.header(1) + b"".join(map(frames.frame, FORMAT_1)))
    assert await uids(path) == ["p"]
    assert frames.version_of(path.read_bytes()) == FORMAT
    journal = Journal(path)
    assert journal.ledger.intent("i").uses == (DeviceUse("node", "card-1"),)
    (answer,) = journal.ledger.prepared("p").answers
    assert (answer.state, answer.cdi_ids) == ({"n": 1}, ("a/b=c",))
    assert not journal.adopts
    await journal.close()


@pytest.mark.skipif(
    os.geteuid() == 0, reason="root writes everywhere: the permission is not checked"
)
async def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match=str(tmp_path)):
        Journal(tmp_path / "journal")


async def test_a_file_in_the_place_of_the_directory_is_named(tmp_path):
    (tmp_path / "plugins").write_text("")
    with pytest.raises(ConfigError, match="cannot be opened"):
        Journal(tmp_path / "plugins" / "journal")
