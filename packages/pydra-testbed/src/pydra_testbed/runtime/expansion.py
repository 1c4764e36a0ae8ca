"""`$(NAME)` references in command, args and env values, as Kubernetes expands them.

Used for every container by `environment` and `ocispec`. The rules are the Container API's: `$$` is a
literal `$`, and a reference to a name that is not defined stays as written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace every `$(NAME)` that `values` defines."""

    def replacement(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return "$"
        return values.get(name, match.group(0))

    return _REFERENCE.sub(replacement, text)
