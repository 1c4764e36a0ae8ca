"""Which of the two APIs a driver serves on this node: DRA, the older device plugin API, or both.

A pure decision over what is known; `deciding` finds out and asks again. That an API server cannot be reached
proves nothing, and that it serves `resource.k8s.io` does not tell whether this node's kubelet listens: only a
confirmed registration does (Kubernetes 1.32 and 1.33 have the API and the kubelet's gate off).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pydra_core.driver import Driver
from pydra_core.errors import ConfigError
from pydra_core.settings import Settings

CONFIRM_WITHIN = 30.0
"""Seconds a kubelet with DRA has to confirm the registration; it needs two at most, and backs off after refusals."""
_NO_HANDLER = "no handler registered for plugin type"
"""What a kubelet whose feature gate is off says at once."""


class Served(Enum):
    """Whether the API server serves resource.k8s.io/v1."""

    YES = "served"
    NO = "not served"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator asked for: `dra` None stands for "auto"."""

    dra: bool | None
    legacy: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the cluster and the node.

    Attributes:
        api: Whether the API server serves the API.
        registered: Whether the kubelet's last word was that it knows the driver.
        unconfirmed: Seconds for which it could have said so and did not.
        refusal: What it said instead.
    """

    api: Served
    registered: bool
    unconfirmed: float
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Mode:
    """What is served from now on.

    Attributes:
        dra: DRA is served, or the kubelet is being asked whether it wants it.
        legacy: The device plugin API is served.
        decided: Nothing is waited for.
        why: In words for people.
    """

    dra: bool
    legacy: bool
    decided: bool
    why: str


def wish_of(settings: Settings, driver: type[Driver]) -> Wish:
    """What the settings ask for, of a driver that may or may not serve both.

    Raises:
        ConfigError: nothing would be served, or the driver has no resources to serve it with.
    """
    dra = {"true": True, "false": False}.get(settings.enable_dra)
    plugin = settings.enable_device_plugin == "true"
    if driver.resources is Driver.resources:
        if plugin or dra is False:
            key = "enable_device_plugin" if plugin else "enable_dra"
            raise _error(
                key,
                f"is {str(plugin).lower()}, but driver {driver.name} has no extended resources (`resources` is not"
                " implemented), so it speaks DRA alone; leave ENABLE_DRA and ENABLE_DEVICE_PLUGIN out",
            )
        return Wish(dra=True, legacy=False)
    if dra is False and not plugin:
        raise _error(
            "enable_dra",
            "is false and enable_device_plugin too, so nothing would be served; set ENABLE_DEVICE_PLUGIN=true for a"
            " cluster without DRA, or leave ENABLE_DRA out",
        )
    return Wish(dra, plugin)


def decide(wish: Wish, facts: Facts, before: Mode | None) -> Mode:
    """What to serve, given what was served before."""
    if wish.dra is not None:
        setting = "true" if wish.dra else "false"
        return Mode(wish.dra, wish.legacy, decided=True, why=f"ENABLE_DRA={setting}")
    if facts.api is Served.NO:
        why = "the API server does not serve resource.k8s.io/v1"
        return Mode(dra=False, legacy=True, decided=True, why=why)
    if facts.api is Served.UNKNOWN:
        return _as_before(wish, before, "the API server has not told yet whether it serves DRA")
    if facts.registered:
        return Mode(
            dra=True,
            legacy=wish.legacy,
            decided=True,
            why="the API server serves resource.k8s.io/v1 and the kubelet confirmed the registration",
        )
    if facts.unconfirmed < CONFIRM_WITHIN and _NO_HANDLER not in facts.refusal:
        plugin = before.legacy if before else wish.legacy
        why = "the kubelet has not confirmed the registration yet"
        return Mode(dra=True, legacy=plugin, decided=False, why=why)
    said = f": {facts.refusal}" if facts.refusal else ""
    within = f" within {CONFIRM_WITHIN:.0f} seconds" if _NO_HANDLER not in said else ""
    why = f"the kubelet did not confirm the registration{within}{said}"
    return Mode(dra=False, legacy=True, decided=True, why=why)


def _as_before(wish: Wish, before: Mode | None, why: str) -> Mode:
    """Stay with what is served; DRA to begin with."""
    known = before or Mode(True, wish.legacy, decided=False, why="")
    return Mode(known.dra, known.legacy, decided=False, why=why)


def _error(key: str, text: str) -> ConfigError:
    return ConfigError(f"setting {key}: {text}", key=key, source="settings")
