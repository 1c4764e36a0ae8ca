"""`/testbed/faults`: faults planned from outside the testbed's process, by kubectl or any HTTP client.

GET lists what is planned, DELETE forgets it, POST plans one more:

    {"effect": "fail", "verb": "create", "resource": "resourceslices", "code": 429, "retryAfter": 1, "times": 2}
    {"effect": "hang"}  "hold"  "cut"  "lose"                      with verb, resource and times
    {"effect": "dropFields", "resource": "resourceslices", "fields": ["spec.devices[].taints"]}
    {"effect": "expire", "resource": "resourceslices"}             watches from before are answered 410
    {"effect": "dropWatches"}
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias

import msgspec

from pydra_testbed.api._problems import bad_request
from pydra_testbed.api.faults import ANY, Faults
from pydra_testbed.objects import KubeObject

PATH = "/testbed/faults"
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]


class _Plan(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """One fault, as the body of a POST."""

    effect: Literal["fail", "hang", "hold", "cut", "lose", "dropFields", "expire", "dropWatches"]
    verb: str = ANY
    resource: str = ANY
    times: _Count = 1
    code: Annotated[int, msgspec.Meta(ge=400, le=599)] = 500
    retry_after: int | None = None
    message: str = ""
    fields: list[str] = []


def faults_document(
    faults: Faults, expire: Callable[[str], None], method: str, body: bytes
) -> KubeObject:
    """Carry out a request on the path; the answer lists what is planned then.

    Raises:
        ApiStatusError: 400, a plan that makes no sense.
    """
    if method == "POST":
        try:
            _carry_out(faults, expire, msgspec.json.decode(body, type=_Plan))
        except msgspec.DecodeError as error:
            raise bad_request(f"fault: {error}; see GET {PATH} and the testbed's manual") from None
    elif method == "DELETE":
        faults.clear()
    return {"planned": faults.planned()}


def _carry_out(faults: Faults, expire: Callable[[str], None], plan: _Plan) -> None:
    which = (plan.verb, plan.resource)
    match plan.effect:
        case "fail":
            faults.fail(
                *which,
                plan.code,
                times=plan.times,
                retry_after=plan.retry_after,
                message=plan.message,
            )
        case "hang":
            faults.hang(*which, times=plan.times)
        case "hold":
            faults.hold(*which, times=plan.times)
        case "cut":
            faults.cut(*which, times=plan.times)
        case "lose":
            faults.lose(*which, times=plan.times)
        case "dropWatches":
            faults.drop_watches()
        case "dropFields":
            faults.drop_fields(plan.resource, *plan.fields)
        case "expire":
            _expire(expire, plan.resource)


def _expire(expire: Callable[[str], None], resource: str) -> None:
    try:
        expire(resource)
    except KeyError:
        raise bad_request(f'fault: resource: "{resource}" is not served') from None
