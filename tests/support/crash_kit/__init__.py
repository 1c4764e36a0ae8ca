"""Breaks a driver at every call to its disk: an interposer in C, a model of what a power cut leaves, a node."""

import pytest

pytest.register_assert_rewrite("crash_kit.node", "crash_kit.scenario")
