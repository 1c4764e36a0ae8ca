"""A driver's own metrics: told beside ours, and held to what the driver declared."""

from __future__ import annotations

from typing import ClassVar

import pytest

from pydra_core import Driver, Inventory
from pydra_core._telemetry.metrics import Metrics
from pydra_core.metrics import Metric, Sample, metric_faults

DECLARED = {
    "pydra_acme_errors_total": Metric(kind="counter", meaning="Errors.", labels=("card",), most=2),
    "pydra_acme_celsius": Metric(kind="gauge", meaning="Temperature."),
}


class AcmeDriver(Driver):
    name = "card.acme.example"
    metrics = DECLARED
    told = ()

    async def discover(self):
        return Inventory()

    async def prepare(self, _claim):
        return []

    def samples(self):
        return self.told() if callable(self.told) else self.told


@pytest.fixture
def expose():
    """What a scrape says of the driver's own, after its samples were these."""
    driver = AcmeDriver()
    metrics = Metrics(driver.name)
    metrics.add_own(driver)

    def scrape(*samples):
        driver.told = samples[0] if samples and callable(samples[0]) else samples
        lines = metrics.exposition().decode().splitlines()
        return [line for line in lines if line.startswith("pydra_acme_")]

    return scrape


def test_samples_are_told_with_the_drivers_name_at_each_scrape(expose):
    assert expose(Sample("pydra_acme_errors_total", 3, {"card": "0"}), Sample("pydra_acme_celsius", 41.5)) == [
        'pydra_acme_errors_total{card="0",driver="card.acme.example"} 3.0',
        'pydra_acme_celsius{driver="card.acme.example"} 41.5',
    ]  # fmt: skip
    assert expose(Sample("pydra_acme_celsius", 42)) == [
        'pydra_acme_celsius{driver="card.acme.example"} 42.0'
    ]


@pytest.mark.parametrize(
    ("sample", "says"),
    [
        (Sample("pydra_acme_volts", 1), "metric pydra_acme_volts: is told and not declared"),
        (Sample("pydra_acme_errors_total", 1), "labels must be card"),
        (Sample("pydra_acme_errors_total", 1, {"card": "of the claim default/x"}), "is a word of at most 32"),
    ],
)  # fmt: skip
def test_what_was_not_declared_is_left_out_and_said_once(expose, caplog, sample, says):
    fine = Sample("pydra_acme_celsius", 41)
    assert len(expose(sample, fine)) == len(expose(sample, fine)) == 1
    (record,) = caplog.records
    assert says in record.why


def test_more_combinations_of_labels_than_declared_are_left_out(expose, caplog):
    cards = [Sample("pydra_acme_errors_total", n, {"card": str(n)}) for n in range(5)]
    assert len(expose(*cards)) == 2
    assert [r.why for r in caplog.records] == [
        "metric pydra_acme_errors_total: more than 2 combinations of labels"
    ]


def test_a_driver_that_raises_spoils_no_scrape(expose, caplog):
    def fails():
        raise RuntimeError("no card")

    assert expose(fails) == []
    assert [r.why for r in caplog.records] == ["RuntimeError: no card"]


def test_names_and_labels_are_held_to_the_policy():
    metrics = {
        "acme_errors": Metric(kind="gauge", meaning=""),
        "pydra_acme_errors": Metric(kind="counter", meaning=""),
        "pydra_acme_celsius_total": Metric(kind="gauge", meaning=""),
        "pydra_acme_volts": Metric(kind="gauge", meaning="", labels=("driver",)),
    }
    assert [fault.partition(":")[0] for fault in metric_faults(metrics)] == [
        f"metric {name}" for name in metrics
    ]
    assert metric_faults(DECLARED) == ()


def test_a_driver_cannot_speak_in_the_name_of_the_framework(caplog):
    class Imposter(AcmeDriver):
        metrics: ClassVar = {"pydra_devices": Metric(kind="gauge", meaning="Not ours.")}
        told = (Sample("pydra_devices", 99),)

    metrics = Metrics("card.acme.example")
    metrics.add_own(Imposter())
    assert b"99" not in metrics.exposition()
    assert ["is one of the framework's" in r.why for r in caplog.records] == [True]
