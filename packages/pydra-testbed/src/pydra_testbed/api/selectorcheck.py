"""What the API server has against a device selector: it does not compile, or it may cost too much.

Passed to `ApiServer` as `cel_check` by whoever starts a cluster.
"""

from __future__ import annotations

from pydra_testbed.cel import MAX_COST, Features, compile_selector, complaint

TOO_COMPLEX = "too complex, exceeds cost limit"


def selector_check(expression: str, features: Features) -> str | None:
    """The API server's complaint about a selector in a new object, None when it is fine.

    A text that begins with `too complex` is answered as Forbidden, any other as Invalid.
    """
    found = complaint(expression, features)
    if found is not None:
        return found
    return TOO_COMPLEX if compile_selector(expression, features).worst_cost > MAX_COST else None
