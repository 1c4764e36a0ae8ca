"""DeviceTaintRules: which devices a rule means, and its report of how far eviction is (resource.k8s.io/v1beta2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from pydra_testbed.clock import Clock, rfc3339
from pydra_testbed.objects import Api, KubeObject, namespace_of

RULES = "devicetaintrules"
_CONDITION = "EvictionInProgress"
# A condition is not written again before this time, unless the rule changed.
_PERIOD = 10.0


def selects(rule: KubeObject, result: KubeObject) -> bool:
    """Whether the rule's selector means the device; without any selector it means none."""
    selector = rule["spec"].get("deviceSelector")
    if selector is None:
        return False
    names = ("driver", "pool", "device")
    return all(selector.get(name) in {None, result[name]} for name in names)


def rule_taint(rule: KubeObject) -> KubeObject:
    """The taint the rule gives."""
    taint: KubeObject = rule["spec"]["taint"]
    return taint


class RuleReporter:
    """Writes the condition EvictionInProgress; `later` has a rule looked at again."""

    def __init__(self, api: Api, clock: Clock, later: Callable[[str, float], None]) -> None:
        self._api = api
        self._clock = clock
        self._later = later

    async def report(
        self, key: str, rule: KubeObject, pending: Sequence[KubeObject], evicted: int
    ) -> KubeObject:
        """The rule as it stands afterwards. Raises `ApiStatusError`."""
        known = (rule.get("status") or {}).get("conditions") or []
        before: KubeObject = next((c for c in known if c["type"] == _CONDITION), {})
        generation = rule["metadata"].get("generation", 0)
        if before.get("observedGeneration") == generation:
            since = datetime.fromisoformat(before["lastTransitionTime"])
            age = (self._clock.now() - since).total_seconds()
            if age < _PERIOD:
                self._later(key, _PERIOD - age)
                return rule
        status, reason, message = _finding(rule, pending, evicted)
        news = {
            "type": _CONDITION,
            "status": status,
            "reason": reason,
            "message": message,
            "observedGeneration": generation,
        }
        if news.items() <= before.items():
            return rule
        condition = {**news, "lastTransitionTime": rfc3339(self._clock.now())}
        others = [c for c in known if c["type"] != _CONDITION]
        body = {
            **rule,
            "status": {**(rule.get("status") or {}), "conditions": [*others, condition]},
        }
        if pending:
            self._later(key, _PERIOD)
        return await self._api.update(RULES, body, "status")


def _finding(rule: KubeObject, pending: Sequence[KubeObject], evicted: int) -> tuple[str, str, str]:
    """Status, reason and message."""
    effect = rule_taint(rule).get("effect")
    if effect == "NoExecute" and pending:
        spaces = len({namespace_of(pod) for pod in pending})
        pods = "1 pod needs" if len(pending) == 1 else f"{len(pending)} pods need"
        where = "1 namespace." if spaces == 1 else f"{spaces} different namespaces."
        finding = ("True", "PodsPendingEviction", f"{pods} to be evicted in {where}")
    elif effect == "NoExecute":
        finding = ("False", "Completed" if evicted else "NotStarted", "")
    elif effect == "None":
        finding = ("False", "NoEffect", "")
    else:
        finding = ("False", "OtherEffect", "Eviction only happens for the NoExecute effect.")
    status, reason, message = finding
    if evicted:
        pods = "1 pod" if evicted == 1 else f"{evicted} pods"
        message = f"{message} {pods} evicted since starting the controller.".strip()
    return status, reason, message
