"""What an operator draws and alerts on: the error counters of GPUs, as metrics.

As attributes they would be news to the scheduler all the time.
A GPU is named by its minor number, of which a node has a handful; a UUID would be a new series with each replacement.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pydra_core.metrics import Metric, Sample
from pydra_nvidia.condition import Condition
from pydra_nvidia.mps.values import DaemonState
from pydra_nvidia.xids import XidClass

_ECC = "pydra_nvidia_ecc_errors_total"
_ROWS = "pydra_nvidia_remapped_rows_total"
_PAGES = "pydra_nvidia_retired_pages_total"
_WAITING = "pydra_nvidia_waiting_for_reset"
_HEAT = "pydra_nvidia_temperature_celsius"
_XIDS = "pydra_nvidia_xids_total"
_LOST = "pydra_nvidia_lost"
_UP = "pydra_nvidia_mps_up"
_CLIENTS = "pydra_nvidia_mps_clients"
_SHARES = {
    "memory": "pydra_nvidia_share_memory_bytes",
    "sms": "pydra_nvidia_share_multiprocessors",
    "shares": "pydra_nvidia_share_count",
}
_SHORT = 8

METRICS: Mapping[str, Metric] = {
    _ECC: Metric(kind="counter", meaning="Memory errors in a GPU's life.", labels=("gpu", "kind")),
    _ROWS: Metric(kind="counter", meaning="Rows of memory replaced.", labels=("gpu", "kind")),
    _PAGES: Metric(
        kind="counter", meaning="Pages of memory put out of use.", labels=("gpu", "kind")
    ),
    _WAITING: Metric(
        kind="gauge", meaning="1 while this waits for a reset.", labels=("gpu", "what")
    ),
    _HEAT: Metric(kind="gauge", meaning="Temperature of the chip.", labels=("gpu",)),
    _XIDS: Metric(
        kind="counter", meaning="XIDs reported since the driver started.", labels=("gpu", "class")
    ),
    _LOST: Metric(kind="gauge", meaning="1 while a GPU does not answer.", labels=("gpu",)),
    _UP: Metric(kind="gauge", meaning="1 while the MPS daemon of tenants runs.", labels=("gpu",)),
    _CLIENTS: Metric(kind="gauge", meaning="Programs connected to MPS.", labels=("gpu",)),
    _SHARES["memory"]: Metric(
        kind="gauge", meaning="Memory a claim took of a shared GPU.", labels=("gpu", "share")
    ),
    _SHARES["sms"]: Metric(
        kind="gauge",
        meaning="Multiprocessors a claim took of a shared GPU.",
        labels=("gpu", "share"),
    ),
    _SHARES["shares"]: Metric(
        kind="gauge", meaning="Shares a claim took of a shared GPU.", labels=("gpu", "share")
    ),
}
"""Declared to the framework; `docs/dev/metrics.md` has the table."""


def samples(minor: int, condition: Condition, xids: Mapping[XidClass, int]) -> Iterator[Sample]:
    """What is known of one GPU; what it does not count is left out, since zero would be a claim.

    Args:
        minor: of `/dev/nvidiaN`.
        condition: the latest look.
        xids: how often it reported one, by class.
    """
    gpu = {"gpu": str(minor)}
    yield Sample(_LOST, int(condition.lost), gpu)
    for name, label, counts in _counted(condition):
        for value, count in counts:
            if count is not None:
                yield Sample(name, count, {**gpu, label: value})
    if condition.temperature is not None:
        yield Sample(_HEAT, condition.temperature, gpu)
    for kind in XidClass:
        yield Sample(_XIDS, xids.get(kind, 0), {**gpu, "class": str(kind)})


def mps_samples(minor: int, state: DaemonState) -> Iterator[Sample]:
    """What is known of the daemon of one GPU."""
    gpu = {"gpu": str(minor)}
    if state.tenants:
        yield Sample(_UP, int(state.alive), gpu)
    if state.clients is not None:
        yield Sample(_CLIENTS, state.clients, gpu)


def share_samples(minor: int, share: str, took: Mapping[str, int]) -> Iterator[Sample]:
    """What one claim took of a GPU. A share is named by the first letters of its ID, which `pydra top` shows as well."""
    for name, amount in took.items():
        if name in _SHARES:
            yield Sample(_SHARES[name], amount, {"gpu": str(minor), "share": share[:_SHORT]})


def _counted(
    condition: Condition,
) -> Iterator[tuple[str, str, Iterable[tuple[str, int | bool | None]]]]:
    """Metric, label, and counts by the label's value."""
    ecc, rows, pages = condition.ecc, condition.remapped_rows, condition.retired_pages
    lives = (("corrected", ecc.corrected_aggregate), ("uncorrected", ecc.uncorrected_aggregate))
    yield _ECC, "kind", lives
    if rows:
        yield (
            *(_ROWS, "kind"),
            (("correctable", rows.correctable), ("uncorrectable", rows.uncorrectable)),
        )
        yield _WAITING, "what", (("row_remap", rows.pending),)
    if pages:
        yield (
            *(_PAGES, "kind"),
            (("single_bit", pages.single_bit), ("double_bit", pages.double_bit)),
        )
        yield _WAITING, "what", (("page_retirement", pages.pending),)
    if repair := condition.repair:
        pending = repair.channel_pending or repair.tpc_pending
        yield _WAITING, "what", (("repair", pending),)
