"""What a pod needs as a whole, with containers that pass and containers that stay (KEP-753)."""

import pytest

from pydra_testbed.podlimits import pod_limits

CARD = "acme.example/card"


def containers(*counts):
    """A number is a container's, one with a `+` a sidecar's."""
    return [
        {
            "resources": {"limits": {CARD: str(count).lstrip("+")}},
            **({"restartPolicy": "Always"} if str(count).startswith("+") else {}),
        }
        for count in counts
    ]


@pytest.mark.parametrize(
    ("init", "main", "needed"),
    [
        ((), (1, 2), 3),
        ((2, 2), (1,), 2),
        ((1,), (1, 1), 2),
        (("+1",), (1,), 2),
        (("+1", 3), (1,), 4),
        ((3, "+1"), (1,), 3),
        (("+1", 1, "+1", 2), (1,), 4),
    ],
)
def test_sidecars_count_beside_the_containers_and_beside_what_passes_after_them(init, main, needed):
    pod = {"spec": {"initContainers": containers(*init), "containers": containers(*main)}}
    assert pod_limits(pod)[CARD].value() == needed


def test_a_resource_that_only_one_container_names_counts_as_well():
    spec = {"containers": [{}, *containers(1)], "initContainers": [{"resources": {}}]}
    assert {name: amount.value() for name, amount in pod_limits({"spec": spec}).items()} == {
        CARD: 1
    }
