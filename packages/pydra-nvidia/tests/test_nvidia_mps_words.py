"""Words on both sides of the keeper: what NVIDIA's tool prints, and what comes back over the socket."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydra_core.errors import (
    ClaimError,
    DeviceBusyError,
    DeviceError,
    HostError,
    VendorTimeoutError,
)
from pydra_nvidia.mps import protocol, texts
from pydra_nvidia.mps.client import Keeper
from pydra_nvidia.mps.values import Detached, Tenant

UUID = "GPU-74d43ed3-d6a4-be7f-0000-000000000000"
SHOWN = """
GPU            Partition                        Free    Used    Free  Used  Clients
                                                Chunk   Chunk   SM    SM
GPU-74d43ed3   -                                3       7       24    68    -
GPU-74d43ed3   Dx4AAAAAAAAAAAAAAAAAAAAAAAAAAAA  -       5       -     40    Yes
GPU-74d43ed3   EB4AAAAAAAAAAAAAAAAAAAAAAAAAAA=  -       2       -     28    No
"""


def test_partitions_are_read_from_what_is_shown_with_and_without_the_last_column():
    short = "\n".join(line.rpartition(" ")[0] if line.startswith("GPU-") else line for line in SHOWN.splitlines())  # fmt: skip
    for shown in (SHOWN, short):
        found = texts.partitions(shown.splitlines())
        assert found.chunks == 10
        assert [(p.chunks, p.sms) for p in found.all] == [(5, 40), (2, 28)]
        assert found.named("EB4AAAAAAAAAAAAAAAAAAAAAAAAAAA=").sms == 28
    assert texts.partitions(['Unknown command "lspart"']).all == ()


@pytest.mark.parametrize("said", [f"{UUID}/Dx4A+/=", f"Partition {UUID}/Dx4A+/= created"])
def test_the_name_of_a_new_partition_is_found_in_either_sentence(said):
    assert texts.partition_name(["", said]) == "Dx4A+/="


@pytest.mark.parametrize("said", ["", "Static partitioning mode is not enabled", "Invalid number of chunks: 0"])  # fmt: skip
def test_no_partition_is_found_in_a_refusal(said):
    assert texts.partition_name([said]) == ""


@given(st.integers(1, 1 << 22))
def test_a_limit_of_memory_is_known_again_however_it_is_rounded(mib):
    shown = f"{mib // 1024}G" if mib >= 1024 else f"{mib}M"
    assert texts.is_limit([shown], mib)
    assert not texts.is_limit([f"{mib + 1024}M"], mib)
    assert not texts.is_limit([], mib)


@given(st.integers(1, 10_000).map(lambda n: n / 100))
def test_a_percentage_is_known_again_with_one_decimal(percent):
    assert texts.is_near(texts.percent(["a refusal", f"{percent:.1f}"]), percent)
    assert not texts.is_near(texts.percent([f"{percent + 1:.1f}"]), percent)
    assert not texts.is_near(texts.percent(["a refusal"]), percent)


def test_a_server_s_answers_are_told_apart_in_one_conversation():
    said = ["FAULT", "4711", "4712"]
    assert (texts.status(said), texts.pids(said)) == ("FAULT", [4711, 4712])
    said = ["Server 1 not found", "Server 1 not found"]
    assert (texts.status(said), texts.pids(said)) == ("", [])


@pytest.mark.parametrize("error", [ClaimError("a"), DeviceError("b"), DeviceBusyError("c"), HostError("d"), VendorTimeoutError("e")])  # fmt: skip
def test_an_error_comes_back_as_what_it_was(error):
    with pytest.raises(type(error), match=str(error)) as caught:
        protocol.read_answer(protocol.refusal_line(error), Detached)
    assert type(caught.value) is type(error)


def test_a_request_comes_as_it_was_sent():
    one = Tenant("uid", "ns/name", "gpu-0", "share", sms=8, percent=None, memory=1 << 33)
    assert protocol.read_ask(protocol.ask_line(protocol.AskDetach("GPU-1", "uid"))).claim == "uid"
    asked = protocol.AskAttach(protocol.MpsGpu("GPU-1", 132, 1 << 36, "9.0"), one)
    assert protocol.read_ask(protocol.ask_line(asked)) == asked


@contextlib.asynccontextmanager
async def somebody(answer):
    """Whoever answers everything at a keeper's socket with that; nothing closes without one."""

    async def met(reader, writer):
        await reader.readline()
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)
        writer.close()

    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as folder:
        async with await asyncio.start_unix_server(met, Path(folder) / protocol.SOCKET):
            yield Keeper(Path(folder), patience=0.2)


@pytest.mark.parametrize(("answer", "why"), [
    (b"", "ended before it answered"),
    (b'{"version": 1, "answer": {}', "ended before it answered"),
    (b"hello\n", "no line of its protocol"),
    (b'{"version": 7, "answer": {}}\n', "speaks version 7, and this side version 1"),
    (b'{"version": 1, "answer": {"empty": 3}}\n', "an answer nobody understands"),
    (None, "does not answer within 0.2 s"),
])  # fmt: skip
async def test_what_is_no_answer_is_an_error_of_the_node(answer, why):
    async with somebody(answer) as keeper:
        with pytest.raises(HostError, match=why):
            await keeper.detach(UUID, "uid")
