"""Random inventories around each limit of `resource.k8s.io/v1`."""

from __future__ import annotations

from hypothesis import strategies as st

from pydra_core import (
    Capacity,
    Consumption,
    CounterSet,
    Device,
    Inventory,
    RequestPolicy,
    Taint,
    ValidRange,
    Version,
)
from pydra_core.values import NodeRequirement, Nodes, Pool


def edge(limit):
    """Sizes around a limit."""
    return st.sampled_from((0, 1, limit - 1, limit, limit + 1))


names = st.sampled_from(
    ("card-0", "a", "x" * 63, "x" * 64, "Card", "card_0", "-a", "a-", "", "0", "a.b", "ä")
)
keys = st.sampled_from(
    (
        "memory", "_m", "m" * 32, "m" * 33, "gpu-model", "9m", "", "acme.example/m", "/m", "a/b/m",
        "Acme.example/m", f"{'d' * 63}/m", f"{'d' * 64}/m", "card.acme.example/memory",
    )
)  # fmt: skip
texts = st.sampled_from(("", "A1", "x" * 64, "x" * 65, "é" * 32, "é" * 33, "a b", "\n"))
versions = st.sampled_from(
    (
        "1.2.3", "550.54.15", "1.2", "01.2.3", "1.2.3-rc.1", "1.2.3-01", "v1.2.3", "1.2.3+b", "",
        "1.2.3-" + "a" * 58, "1.2.3-" + "a" * 59,
    )
)  # fmt: skip
values = st.one_of(
    st.booleans(),
    st.sampled_from((0, -1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1)),
    texts,
    versions.map(Version),
)
quantities = st.sampled_from(
    ("0", "1", "8", "10", "16Gi", "1.5", "100m", "-1", "16 GB", "", "1e3", "8Ki")
)
maybe = st.one_of(st.just(""), quantities)
policies = st.one_of(
    st.none(),
    st.builds(
        RequestPolicy,
        default=maybe,
        valid_range=st.one_of(
            st.none(), st.builds(ValidRange, minimum=quantities, maximum=maybe, step=maybe)
        ),
        valid_values=st.lists(quantities, max_size=3).map(tuple)
        | edge(10).map(lambda n: tuple(str(i + 1) for i in range(n))),
    ),
)
capacities = quantities | st.builds(Capacity, quantities, policies)
labels = st.sampled_from(
    ("acme.example/hot", "hot", "", "a/b/c", "x" * 63, "x" * 64, "Acme/hot", "acme_example/hot")
)
taints = st.builds(
    Taint,
    key=labels,
    value=st.sampled_from(("", "Hot", "very hot", "x" * 63, "x" * 64, "-a")),
    effect=st.sampled_from(("NoSchedule", "NoExecute", "None", "Avoid", "")),
)
counter_names = st.sampled_from(("m", "x" * 63, "x" * 64, "M", "a_b", ""))
counters = st.dictionaries(counter_names, quantities, max_size=2) | edge(32).map(
    lambda n: {f"c{i}": "1" for i in range(n)}
)


def many(limit, make):
    """As many of a thing as around its limit."""
    return edge(limit).map(make)


few_attributes = st.dictionaries(keys, values, max_size=2)
devices = st.builds(
    Device,
    st.just("card-0") | names,
    attributes=few_attributes | many(32, lambda n: {f"a{i}": i for i in range(n)}),
    capacity=st.dictionaries(keys, capacities, max_size=2),
    shareable=st.booleans(),
    taints=st.lists(taints, max_size=2).map(tuple)
    | many(16, lambda n: tuple(Taint(key=f"acme.example/t{i}") for i in range(n))),
    consumes=st.lists(
        st.builds(Consumption, st.sampled_from(("s", "t")), counters), max_size=3
    ).map(tuple),
)
sets = st.lists(
    st.builds(CounterSet, st.sampled_from(("s", "t", "S", "x" * 64)), counters), max_size=3
).map(tuple)


@st.composite
def inventories(draw):
    """One or two devices, each of which may break a limit."""
    return Inventory(*draw(st.lists(devices, max_size=2)), counter_sets=draw(sets))


good_wishes = st.sampled_from(
    (
        NodeRequirement("rack", "In", ("a", "", "x" * 63)), NodeRequirement("a.b/rack", "NotIn", ("5",)),
        NodeRequirement("x" * 63), NodeRequirement("Rack", "DoesNotExist"), NodeRequirement("n", "Gt", ("5",)),
    )
)  # fmt: skip
wishes = st.builds(
    NodeRequirement,
    labels,
    st.sampled_from(("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Has", "")),
    st.lists(st.sampled_from(("a", "5", "", "a b", "x" * 64)), max_size=2).map(tuple),
)
good_labels = st.sampled_from(({}, {"rack": "a"}, {"a.b/c": "", "x" * 63: "x" * 63}))
good_nodes = st.builds(
    Nodes,
    labels=good_labels,
    requirements=st.lists(good_wishes, max_size=2).map(tuple),
    name=st.sampled_from(("", "node-1", "a.b")),
)
nodes = good_nodes | st.builds(
    Nodes,
    labels=good_labels
    | st.dictionaries(labels, st.sampled_from(("a", "a b", "x" * 64)), max_size=1),
    requirements=st.lists(wishes, max_size=1).map(tuple),
    name=st.sampled_from(("", "Node", "x" * 254)),
)


@st.composite
def reached(draw):
    """A pool of the cluster, and who reaches it or its devices."""
    everybody = draw(st.none() | nodes)
    own = draw(st.lists(nodes if everybody is None else st.none(), max_size=2))
    if draw(st.integers(0, 9)) == 0:
        own.append(None if everybody is None else draw(nodes))
    name = draw(
        st.sampled_from(("rack-a", "a/b", "a.b/c", "x" * 253))
        | st.sampled_from(("rack-a", "a/b", "A", "", "/a", "x" * 254))
    )
    cards = tuple(Device(f"box-{n}", nodes=each) for n, each in enumerate(own))
    return Pool(name, cards, nodes=everybody)


steps = st.sampled_from(("1", "2", "4", "8", "10", "16Gi", "1500m", "0"))
limits = st.one_of(st.just(""), steps)


@st.composite
def shared(draw):
    """One shareable device whose capacity has a policy, sensible or not."""
    ranges = st.none() | st.builds(ValidRange, minimum=steps, maximum=limits, step=limits)
    values = st.lists(steps, max_size=3).map(tuple) | st.sampled_from((10, 11)).map(
        lambda n: tuple(str(i + 1) for i in range(n))
    )
    policy = RequestPolicy(
        default=draw(limits), valid_range=draw(ranges), valid_values=draw(values)
    )
    return Inventory(
        Device("card-0", shareable=True, capacity={"m": Capacity(draw(steps), policy)})
    )


@st.composite
def pools(draw):
    """A whole pool within the limits: devices in number around the slices' sizes, taints and counters."""
    count = draw(st.sampled_from((0, 1, 2, 63, 64, 65, 127, 128, 129, 130, 200, 257)))
    sick = draw(st.frozensets(st.integers(0, 256), max_size=3))
    drawn = draw(st.integers(0, 9))
    label = draw(st.sampled_from(("a", "b", "c")))
    found = tuple(
        Device(
            f"card-{n}",
            attributes={"label": label},
            taints=(Taint(key="acme.example/hot"),) if n in sick else (),
            consumes=(Consumption("s0", {"m": "1"}),) if drawn and n == 3 else (),
        )
        for n in range(count)
    )
    return Inventory(
        *found, counter_sets=tuple(CounterSet(f"s{n}", {"m": "9"}) for n in range(drawn))
    )


@st.composite
def scattered(draw):
    """A node whose devices are in its own pool or in one of two further ones; as many as fill slices."""
    count = draw(st.sampled_from((3, 66, 130, 260)))
    block = draw(st.sampled_from((1, 5, 64)))
    homes = draw(st.lists(st.sampled_from(("", "a", "b")), min_size=1, max_size=7))
    found = {"": [], "a": [], "b": []}
    for n in range(count):
        found[homes[n // block % len(homes)]].append(Device(f"card-{n}"))
    own = found.pop("")
    return Inventory(*own, pools=tuple(Pool(n, tuple(d)) for n, d in found.items() if d))
