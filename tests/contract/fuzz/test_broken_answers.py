from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from driver_world import CARDS
from hostile_strategies import encode
from hostile_world import allocated

DEADLINE = 3


def status(code, body=b"{}", **headers):
    """Answers that are no success, each with a body that would be a fine claim."""

    def make(name, uid):
        async def answer(_):
            fields = {k.replace("_", "-"): v for k, v in headers.items()}
            return web.Response(
                status=code, body=body or encode(allocated(name, uid, "card-1")), headers=fields
            )

        return answer

    return make


def on_the_wire(*chunks, hang=False):
    """Answers written past the HTTP library, `CLAIM` being a fine claim's bytes; then the connection closes."""

    def make(name, uid):
        claim = encode(allocated(name, uid, "card-1"))

        async def answer(request):
            for chunk in chunks:
                length = str(len(claim)).encode()
                request.transport.write(chunk.replace(b"CLAIM", claim).replace(b"LENGTH", length))
            if hang:
                await asyncio.Event().wait()
            request.transport.close()
            return web.Response()

        return answer

    return make


HEAD = b"HTTP/1.1 200 OK\r\n"
ANSWERS = {
    "closed without a word": on_the_wire(),
    "never answered": on_the_wire(hang=True),
    "headers without an end": on_the_wire(HEAD, b"X: y\r\n", hang=True),
    "a body that is cut off": on_the_wire(HEAD, b"Content-Length: 99999\r\n\r\nCLAIM"),
    "a body that stops": on_the_wire(HEAD, b"Content-Length: 99999\r\n\r\nCLAIM", hang=True),
    "a length that is no number": on_the_wire(HEAD, b"Content-Length: ten\r\n\r\nCLAIM"),
    "two lengths": on_the_wire(HEAD, b"Content-Length: 1\r\nContent-Length: LENGTH\r\n\r\nCLAIM"),
    "chunks of no size": on_the_wire(HEAD, b"Transfer-Encoding: chunked\r\n\r\nzz\r\nCLAIM\r\n0\r\n\r\n"),
    "no HTTP": on_the_wire(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "a gzip that is none": on_the_wire(HEAD, b"Content-Encoding: gzip\r\nContent-Length: LENGTH\r\n\r\nCLAIM"),
    "an enormous header": on_the_wire(HEAD, b"X: " + b"y" * 100_000 + b"\r\n\r\nCLAIM"),
    "a redirect": status(302, b"", Location="/elsewhere"),
    "a redirect to itself": status(307, b"", Location=""),
    "not modified": status(304),
    "unauthorized": status(401, b""),
    "forbidden": status(403, b""),
    "not found": status(404, b""),
    "gone": status(410, b""),
    "broken": status(500, b""),
    "busy": status(429, b"", Retry_After="1"),
    "busy for a thousand years": status(429, b"", Retry_After="9" * 30),
    "busy for superscript two": status(429, b"", Retry_After="\u00b2"),
    "busy for a negative time": status(429, b"", Retry_After="-1"),
    "busy until a date": status(429, b"", Retry_After="Fri, 31 Dec 1999 23:59:59 GMT"),
    "a status whose message is no text": status(403, b'{"message": {"a": [1]}}'),
    "a status that is no JSON": status(403, b"<html>\xff\xfe</html>"),
    "a status nested too deeply": status(403, b"[" * 100_000),
}  # fmt: skip


async def test_however_an_answer_breaks_its_claim_gets_an_error_in_time_and_the_others_are_prepared(
    hostile,
):
    driver = await hostile.start()
    kept = hostile.plant("card-0")
    await driver.prepare(kept)
    files, specs = hostile.others_files(), hostile.spec_files()
    bad = {what: hostile.plant_bytes(make) for what, make in ANSWERS.items()}
    fresh = hostile.plant("card-2")
    calls = [driver.prepare(*bad.values(), seconds=DEADLINE), driver.prepare(kept, fresh)]
    broken, whole = await asyncio.gather(*calls)
    assert [whole.claims[c.uid].error for c in (kept, fresh)] == ["", ""]
    for what, claim in bad.items():
        answer = broken.claims[claim.uid]
        assert f"claim default/{claim.name}" in answer.error, what
        assert not answer.devices
    assert {c.uid for c in bad.values()} == set(broken.claims)
    assert "/elsewhere" not in hostile.hostile.paths
    assert driver.process.returncode is None
    assert "Traceback" not in driver.logged()
    await driver.unprepare(fresh)
    assert hostile.spec_files() == specs
    assert hostile.others_files() == files


async def test_an_error_whose_text_is_no_utf8_is_told_and_does_not_fail_its_neighbours(hostile):
    raising = CARDS.replace("import Claim,", "import Claim, HostError,").replace(
        "        return [a.prepared",
        '        if claim.allocations[0].device == "card-3":\n'
        "            raise HostError(f\"card: {bytes([255]).decode(errors='surrogateescape')}: cannot be read\")\n"
        "        return [a.prepared",
    )
    driver = await hostile.start(raising)
    bad, good = hostile.plant("card-3"), hostile.plant("card-0")
    answer = await driver.prepare(bad, good)
    assert answer.claims[bad.uid].error.endswith(r"card: \udcff: cannot be read")
    assert answer.claims[good.uid].error == ""


@pytest.mark.parametrize(
    "passing", ["closed without a word", "broken", "busy", "a body that is cut off"]
)
async def test_what_passes_by_itself_is_retried_within_the_call(hostile, passing):
    driver = await hostile.start()
    claim = hostile.plant("card-0")
    fine = hostile.hostile.planted[claim.name]
    broken = ANSWERS[passing](claim.name, claim.uid)

    async def once(request):
        hostile.hostile.planted[claim.name] = fine
        return await broken(request)

    hostile.hostile.planted[claim.name] = once
    assert (await driver.prepare(claim)).claims[claim.uid].error == ""
