"""The driver's own metrics beside ours: asked for at each scrape, and held to what the driver declared.

Whatever a driver tells, a scrape is answered: what is wrong is left out, and said once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from pydra_core.driver import Driver
from pydra_core.errors import PydraError
from pydra_core.metrics import WORD, Metric, Sample, metric_faults

_log = logging.getLogger(__name__)
_USUAL = (
    PydraError,
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


class OwnMetrics(Collector):
    """What one driver tells, for Prometheus' registry."""

    def __init__(self, driver: Driver, taken: Iterable[str]) -> None:
        """Begin.

        Args:
            driver: whose samples they are.
            taken: names of metrics the driver cannot have because they are ours.
        """
        self._driver = driver
        self._said: set[str] = set()
        self._known: dict[str, Metric] = {}
        ours = frozenset(taken)
        for name, metric in driver.metrics.items():
            faults = list(metric_faults({name: metric}))
            if name.removesuffix("_total") in ours:
                faults.append(f"metric {name}: is one of the framework's; call it otherwise")
            for fault in faults:
                self._say(fault)
            if not faults:
                self._known[name] = metric

    def describe(self) -> list[Family]:
        """Names are known beforehand, samples are not: the driver is not asked before it runs."""
        return [_family(name, metric) for name, metric in self._known.items()]

    def collect(self) -> Iterator[Family]:
        """Ask the driver."""
        try:
            samples = tuple(self._driver.samples()) if self._known else ()
        except _USUAL as err:  # the driver's code: a scrape is answered without it
            self._say(f"{type(err).__name__}: {err}")
            return
        for name, metric in self._known.items():
            yield self._filled(name, metric, (s for s in samples if s.name == name))
        for name in {s.name for s in samples} - self._known.keys():
            self._say(f"metric {name}: is told and not declared; add it to the driver's `metrics`")

    def _filled(self, name: str, metric: Metric, samples: Iterable[Sample]) -> Family:
        family = _family(name, metric)
        told: dict[tuple[str, ...], float] = {}
        for sample in samples:
            if fault := _fault(metric, sample.labels):
                self._say(f"metric {name}: {fault}")
                continue
            values = tuple(sample.labels[label] for label in metric.labels)
            if values not in told and len(told) >= metric.most:
                self._say(f"metric {name}: more than {metric.most} combinations of labels")
                continue
            told[values] = sample.value
        for values, value in told.items():
            family.add_metric([self._driver.name, *values], value)
        return family

    def _say(self, why: str) -> None:
        if why not in self._said:
            self._said.add(why)
            _log.warning("metrics of the driver are left out", extra={"why": why})


def _family(name: str, metric: Metric) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    return kind(name, metric.meaning, labels=["driver", *metric.labels])


def _fault(metric: Metric, labels: Mapping[str, str]) -> str:
    if set(labels) != set(metric.labels):
        return f"labels must be {', '.join(metric.labels) or 'none'}"
    if not all(WORD.fullmatch(value) for value in labels.values()):
        return "the value of a label is a word of at most 32 characters"
    return ""
