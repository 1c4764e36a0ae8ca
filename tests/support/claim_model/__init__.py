"""A model of what a node owes the kubelet, and the real claim path in processes that can be killed to hold it to."""

import pytest

pytest.register_assert_rewrite("claim_model.node", "claim_model.machine")
