from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from pydra_core._state import frames, records
from pydra_core._state.journal import Journal
from pydra_core._state.records import FORMAT, DeviceUse, Intent, Prepared, Released
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


async def test_zeros_behind_the_last_record_are_a_torn_write(tmp_path):
    path = tmp_path / "journal"
    path.write_bytes(await three(path) + bytes(5000))
    assert await uids(path) == ["a", "b", "c"]
    assert [f.name for f in tmp_path.iterdir()] == ["journal"]


async def test_a_damaged_journal_is_set_aside_once_however_often_the_driver_starts(tmp_path):
    path = tmp_path / "journal"
    data = bytearray(await three(path))
    data[-5] ^= 1
    for _ in range(2):
        path.write_bytes(data)
        assert await uids(path) == ["a", "b"]
    assert len(list(tmp_path.iterdir())) == 2


async def test_a_record_too_large_to_be_read_again_is_refused(tmp_path):
    journal = Journal(tmp_path / "journal")
    with pytest.raises(HostError, match="cannot hold claim a"):
        await journal.transact(lambda _: [prepared("a", "x" * frames.MAX_PAYLOAD)], durable=True)
    assert journal.ledger.all_prepared() == ()
    await journal.close()


async def test_the_ledger_learns_of_a_claim_only_once_it_is_on_disk(tmp_path):
    journal = Journal(tmp_path / "journal")
    seen = []

    def look(ledger):
        seen.append(ledger.prepared("a"))
        return []

    first = asyncio.ensure_future(journal.transact(lambda _: [prepared("a")], durable=True))
    await asyncio.gather(first, journal.transact(look, durable=False))
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


HOLDER = """
import asyncio, sys
from pathlib import Path
from pydra_core._state.journal import Journal

async def hold():
    journal = Journal(Path(sys.argv[1]))
    print("held", flush=True)
    sys.stdin.read()
    await journal.close()

asyncio.run(hold())
"""


async def test_a_second_process_is_refused_while_the_first_lives(tmp_path):
    path = tmp_path / "journal"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    holder = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDER, str(path), **pipes)
    assert await holder.stdout.readline() == b"held\n"
    with pytest.raises(ConfigError, match="another driver of this name"):
        Journal(path)
    await holder.communicate(b"")  # ends its standard input
    assert await uids(path) == []


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
