"""Selector verdicts, kept with the devices they are about.

A selector's verdict on a published device never changes, and the same few selectors are asked about the
same devices for every pod and node. Entries disappear with the device objects when slices change.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from pydra_testbed.cel import (
    CelCompileError,
    CelEvaluationError,
    DeviceView,
    compile_selector,
    device_view,
)
from pydra_testbed.scheduler.features import DEFAULT, Features
from pydra_testbed.scheduler.model import Device


class SelectorError(Exception):
    """A selector could not be compiled or failed on a device."""


class Verdicts:
    """Answers whether a selector picks a device, asking CEL once."""

    def __init__(self, features: Features = DEFAULT) -> None:
        self._features = features.cel
        self._views: WeakKeyDictionary[Device, DeviceView] = WeakKeyDictionary()
        self._answers: WeakKeyDictionary[Device, dict[str, bool]] = WeakKeyDictionary()

    def matches(self, expression: str, device: Device) -> bool:
        """Evaluate or remember.

        Raises:
            SelectorError: with Kubernetes' words; failures are not remembered.
        """
        answers = self._answers.setdefault(device, {})
        answer = answers.get(expression)
        if answer is None:
            answer = answers[expression] = self._evaluate(expression, device)
        return answer

    def _evaluate(self, expression: str, device: Device) -> bool:
        view = self._views.get(device)
        if view is None:
            view = self._views[device] = device_view(device.id.driver, device.body, self._features)
        try:
            return compile_selector(expression, self._features).matches(view)
        except CelCompileError as problem:
            raise SelectorError(f"CEL compile error: {problem}") from problem
        except CelEvaluationError as problem:
            raise SelectorError(f"CEL runtime error: {problem}") from problem
