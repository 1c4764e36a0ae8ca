"""Calls about claims with a verdict: what cases expect of an answer, once each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

from pydra_testbed.conformance.model import NotMetError, UnsuitedError
from pydra_testbed.conformance.running import Answers, Running
from pydra_testbed.conformance.stand import Stand
from pydra_testbed.kubelet import ClaimRef
from pydra_testbed.kubelet.rpc import RpcError
from pydra_testbed.kubelet.services import ClaimAnswer

_LOOK = 0.02


async def prepared(
    stand: Stand, ref: ClaimRef, *, on: Running | None = None, seconds: float = 0.0
) -> ClaimAnswer:
    """Prepare one claim, which must succeed."""
    driver = on or stand.driver
    answers = await _called("NodePrepareResources", driver.prepare(ref, seconds=seconds), ref)
    return _good("prepare", ref, answers)


async def unprepared(stand: Stand, ref: ClaimRef, *, on: Running | None = None) -> None:
    """Unprepare one claim, which must succeed."""
    driver = on or stand.driver
    answers = await _called("NodeUnprepareResources", driver.unprepare(ref), ref)
    _good("unprepare", ref, answers)


async def refused(stand: Stand, ref: ClaimRef, why: str, seconds: float = 0.0) -> str:
    """Prepare one claim, which must not succeed; returns the error's text."""
    try:
        answers = await stand.driver.prepare(ref, seconds=seconds)
    except RpcError as err:
        return str(err)
    answer = answers.get(ref.uid)
    if answer is not None and not answer.error:
        devices = ", ".join(device.device for device in answer.devices) or "none"
        raise NotMetError(f"an error, because {why}", f"success with devices: {devices}")
    return answer.error if answer else "(the claim is missing in the answer)"


def same(what: str, first: ClaimAnswer, second: ClaimAnswer) -> None:
    """Both answers must be the same, in the same order."""
    if first != second:
        raise NotMetError(f"{what}: the answer it gave before, {first}", str(second))


def without_trace(stand: Stand, before: object, what: str) -> None:
    """The spec files must be what they were before."""
    after = stand.cdi.files()
    if after != before:
        raise NotMetError(f"{what}: the spec files there were before", f"{sorted(after)}")


@asynccontextmanager
async def held(
    stand: Stand, ref: ClaimRef, seconds: float = 0.0
) -> AsyncIterator[asyncio.Task[Answers]]:
    """A prepare of the claim that hangs while the block runs, because the API server is slow.

    Raises:
        UnsuitedError: the driver needed no answer.
    """
    faults = stand.server.faults
    faults.hold("get", "resourceclaims")
    task = asyncio.get_running_loop().create_task(stand.driver.prepare(ref, seconds=seconds))
    try:
        while faults.planned():
            if task.done():
                raise UnsuitedError("it does not GET the claim, so nothing can hold its prepare up")
            await asyncio.sleep(_LOOK)
        yield task
    finally:
        faults.clear()
        await asyncio.gather(task, return_exceptions=True)


async def _called(method: str, call: Awaitable[Answers], ref: ClaimRef) -> Answers:
    try:
        return await call
    except RpcError as err:
        raise NotMetError(f"{method} answers claim {ref.name}", str(err)) from err


def _good(verb: str, ref: ClaimRef, answers: Answers) -> ClaimAnswer:
    others = set(answers) - {ref.uid}
    if others:
        raise NotMetError("an answer for the asked claim alone", f"also for {', '.join(others)}")
    answer = answers.get(ref.uid)
    if answer is None:
        raise NotMetError(f"an answer for claim {ref.name}", "the claim is missing in it")
    if answer.error:
        raise NotMetError(f"{verb} of claim {ref.name} without error", answer.error)
    return answer
