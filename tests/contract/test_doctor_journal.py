"""`doctor` and the journal: read, counted, never touched."""

from __future__ import annotations

from doctor_node import node, prepared, with_journal

from pydra_core._state import frames, records

__all__ = ["node"]


async def test_a_journal_is_read_and_counted(node):
    done = await with_journal(node, frames.header(records.FORMAT) + prepared("a") + prepared("b"))
    assert done.says("journal", "ok", "2 prepared claims")


async def test_the_torn_end_of_a_journal_is_no_finding(node):
    done = await with_journal(
        node, frames.header(records.FORMAT) + prepared("a") + prepared("b")[:-3]
    )
    assert done.says("journal", "ok", "1 prepared claims, ")
    assert "half-written record, which the next start drops" in done.row("journal")["seen"]


async def test_a_flipped_bit_in_the_journal_is_found_and_its_place_named(node):
    head = frames.header(records.FORMAT)
    data = bytearray(head + prepared("a") + prepared("b"))
    data[len(head) + 20] ^= 1
    done = await with_journal(node, bytes(data))
    assert done.says("journal", "finding", f"the first at byte {len(head)}")
    assert done.fix("journal").startswith(
        "restart the driver (delete its pod): it keeps every record"
    )


async def test_a_journal_of_a_newer_version_is_found(node):
    done = await with_journal(node, frames.header(records.FORMAT + 1))
    assert done.says(
        "journal", "finding", f"format {records.FORMAT + 1}, written by a newer driver"
    )
    assert done.fix("journal").startswith(
        "install that version of the driver again, or drain the node"
    )


async def test_a_file_that_is_no_journal_is_found(node):
    done = await with_journal(node, b"something else entirely")
    assert done.says("journal", "finding", "no journal of this framework (23 bytes")


async def test_a_journal_that_was_set_aside_is_not_forgotten(node):
    node.data.mkdir()
    aside = node.data / "journal.damaged-812-16"
    aside.write_bytes(b"x")
    done = await node.doctor()
    assert done.fix("journal: set aside").endswith(f"rm {aside}")


async def test_a_journal_that_cannot_be_read_is_found(node):
    (node.data / "journal").mkdir(parents=True)
    done = await node.doctor()
    assert done.says("journal", "finding", "cannot be read: Is a directory")
