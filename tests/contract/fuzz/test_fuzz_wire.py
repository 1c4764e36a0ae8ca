from __future__ import annotations

import asyncio

import pytest
import recorded_kubelet as recorded
from hostile_strategies import bounded, damaged_bytes
from hypothesis import given
from hypothesis import strategies as st

SESSIONS = {n: b"".join(recorded.client_chunks(f"{n}.sock.http2")) for n in ("reg", "dra")}


@pytest.fixture
async def served(hostile):
    hostile.driver = await hostile.start()
    hostile.kept = hostile.plant("card-0")
    hostile.answer = await hostile.driver.prepare(hostile.kept)
    return hostile


@given(content=st.sampled_from(sorted(SESSIONS)).flatmap(lambda n: damaged_bytes(SESSIONS[n])))
@bounded(120)
async def test_damaged_http2_on_either_socket_leaves_both_serving(served, content):
    files = served.others_files()
    for path in (served.registration_socket, served.dra_socket):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(content)
        writer.write_eof()
        async with asyncio.timeout(
            20
        ):  # the server must not wait for more from somebody who has gone
            while await reader.read(1 << 16):
                pass
        writer.close()
        await writer.wait_closed()
    assert await served.driver.prepare(served.kept) == served.answer
    assert served.others_files() == files
    assert "Traceback" not in served.driver.logged()
