"""All cases of the kit, in the order of their names; `runner`, `report` and the documentation read them."""

from __future__ import annotations

from collections.abc import Collection

from pydra_core.errors import ConfigError
from pydra_testbed.conformance.cases import (
    health,
    inventory,
    parameters,
    plugins,
    plugins_giving,
    plugins_guard,
    plugins_life,
    prepare,
    registration,
    security,
    servers,
    shares,
    shield,
    sickness,
    slices,
    state,
    trouble,
    unprepare,
    upgrades,
)
from pydra_testbed.conformance.model import Case

FAMILIES = ("REG", "PREP", "UNPREP", "SLICE", "HEALTH", "SHIELD", "STATE", "SEC", "DP")

CASES: tuple[Case, ...] = tuple(
    sorted(
        (
            *registration.CASES,
            *upgrades.CASES,
            *prepare.CASES,
            *parameters.CASES,
            *shares.PREPARE,
            *trouble.PREPARE,
            *unprepare.CASES,
            *shares.UNPREPARE,
            *trouble.UNPREPARE,
            *slices.CASES,
            *inventory.CASES,
            *servers.CASES,
            *sickness.CASES,
            *health.CASES,
            *shield.CASES,
            *state.CASES,
            *security.CASES,
            *plugins.CASES,
            *plugins_giving.CASES,
            *plugins_guard.CASES,
            *plugins_life.CASES,
        ),
        key=lambda case: (FAMILIES.index(case.family), case.id),
    )
)


def select(ids: Collection[str] = (), families: Collection[str] = ()) -> tuple[Case, ...]:
    """The cases with these names or of these families; all without any.

    Raises:
        ConfigError: there is no such case or family.
    """
    _check("case", set(ids), {case.id for case in CASES})
    _check("family", set(families), set(FAMILIES))
    if not ids and not families:
        return CASES
    return tuple(case for case in CASES if case.id in ids or case.family in families)


def _check(key: str, asked: set[str], known: set[str]) -> None:
    if unknown := sorted(asked - known):
        raise ConfigError(
            f"conformance: --{key} {unknown[0]}: there is none; known are {', '.join(sorted(known))}",
            key=key,
            source="flag",
        )
