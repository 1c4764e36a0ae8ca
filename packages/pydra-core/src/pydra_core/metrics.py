"""A driver's own metrics: declared in its class, told when Prometheus asks.

For what only the driver knows, such as error counters of its hardware, which would flood slices as attributes. The
framework adds `driver` to the labels and keeps what is told to what was declared; policy: `docs/dev/metrics.md`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

NAME = re.compile(r"pydra_[a-z0-9_]{1,80}")
WORD = re.compile(r"[A-Za-z0-9._:-]{0,32}")
"""What may be a label's value: a short word, never a text."""
LABEL = re.compile(r"[a-z][a-z_]{0,31}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric of a driver.

    Attributes:
        kind: `counter` is a number that only grows until the hardware or the driver starts anew; its name ends in
            `_total`. `gauge` is one that goes up and down.
        meaning: what it tells, in a sentence.
        labels: their names, without `driver`.
        most: combinations of labels that may be told at once; more of them are left out.
    """

    kind: Literal["counter", "gauge"]
    meaning: str
    labels: tuple[str, ...] = ()
    most: int = 256


@dataclass(frozen=True, slots=True)
class Sample:
    """One number: the metric's name, and a value for each of its labels."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


def metric_faults(metrics: Mapping[str, Metric]) -> tuple[str, ...]:
    """What is wrong with declared names and labels; nothing if they follow the policy."""
    faults = []
    for name, metric in metrics.items():
        if not NAME.fullmatch(name):
            faults.append(f"metric {name}: write it as pydra_vendor_what, in small letters")
        if name.endswith("_total") != (metric.kind == "counter"):
            faults.append(f"metric {name}: the name of a counter ends in _total, no other does")
        if not all(LABEL.fullmatch(label) and label != "driver" for label in metric.labels):
            faults.append(f"metric {name}: labels are words in small letters, and not driver")
    return tuple(faults)
