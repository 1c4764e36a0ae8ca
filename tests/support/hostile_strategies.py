"""What an enemy writes where a name, a JSON value or a protobuf message is expected, as hypothesis strategies."""

from __future__ import annotations

import copy
import json
import os
from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

TIMES = int(os.environ.get("FUZZ_TIMES", "0"))
"""0: the same examples each time, for the verdict. N: N times as many, at random, for a search."""


def bounded(examples):
    return settings(
        max_examples=examples * max(1, TIMES),
        derandomize=not TIMES,
        database=None,
        deadline=None,
        # One driver serves all examples on purpose: what an earlier one broke must show in a later one.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


TRICKS = (
    "", ".", "..", "/", "//", "../../../../../../../../tmp/pwned", "/tmp/pwned", "a/../../b", "..\\..\\b", "%2e%2e%2f",
    "a/b/c", "gpu/", "/gpu", "a\0b", "\0", "a\nb", "a\r\nERROR pydra: forged", "\x1b[2J", "a b", " ", "a=b", "=", ":",
    "a:b", "a@b", "a,b", "*", "?", "~", "-", "-a", "a-", "_", "A", "a.b", "a.b/c", ".hidden", "con", "NUL", "${HOME}",
    "$(id)", "`id`", "'", '"', "{}", "[]", "null", "é", "e\u0301", "\u202etxt", "\ufeff", "\u2028", "😀", "x" * 63,
    "x" * 64, "x" * 254, "x" * 10_240, "0", "1e9", "-1", "nan",
)  # fmt: skip

texts = st.one_of(
    st.sampled_from(TRICKS),
    st.text(alphabet="./\\-_~%\0\n\r\t:=@ aA0", min_size=1, max_size=70),
    st.text(max_size=30),
)


@dataclass(frozen=True)
class Raw:
    """Bytes that stand in a document as they are, JSON or not."""

    content: bytes


class Twice(list):
    """An object with repeated keys: a list of pairs."""


def encode(value) -> bytes:
    """JSON, except where a `Raw` says otherwise."""
    if isinstance(value, Raw):
        return value.content
    if isinstance(value, dict):
        value = Twice(value.items())
    if isinstance(value, Twice):
        return b"{" + b",".join(encode(k) + b":" + encode(v) for k, v in value) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(encode, value)) + b"]"
    return json.dumps(value).encode()


BLOBS = (
    Raw(b"NaN"), Raw(b"-Infinity"), Raw(b"1e999"), Raw(b"9" * 5000), Raw(b"-0"), Raw(b"01"), Raw(b"1.5"),
    Raw(b"18446744073709551616"), Raw(b"tru"), Raw(b""), Raw(b"'a'"), Raw(b'"\xff\xfe"'), Raw(b'"\\ud800"'),
    Raw(b'"\\u0000"'), Raw(b'"a\nb"'), Raw(b'"\xc0\xaf"'), Raw(b"[" * 10_000 + b"]" * 10_000),
    Raw(b'{"a":' * 10_000 + b"1" + b"}" * 10_000), Raw(b"[" * 900 + b"]" * 900), Raw(b'"' + b"x" * 10_240 + b'"'),
    Raw(b"[" + b"0," * 5_000 + b"0]"), Raw(b"/**/null"), Raw(b"{,}"),
)  # fmt: skip

junk = st.one_of(
    st.sampled_from(BLOBS),
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    texts,
    st.recursive(
        st.none() | st.booleans() | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=6,
    ),
)


def paths(tree, prefix=()):
    """Every place in a document but its root, each as the steps that lead there."""
    if isinstance(tree, dict):
        steps = tree.items()
    else:
        steps = enumerate(tree) if type(tree) is list else ()
    for key, value in steps:
        yield (*prefix, key)
        yield from paths(value, (*prefix, key))


@st.composite
def damaged_documents(draw, document):
    """`document` with one to three places replaced, removed or repeated, as bytes, perhaps damaged themselves."""
    tree = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        if places := list(paths(tree)):
            tree = _damaged(draw, tree, draw(st.sampled_from(places)))
    content = encode(tree)
    return draw(damaged_bytes(content)) if draw(st.integers(0, 4)) == 0 else content


def _damaged(draw, tree, path):
    """The document with something wrong at `path`."""
    step, *rest = path
    if rest:
        tree[step] = _damaged(draw, tree[step], rest)
        return tree
    how = draw(st.sampled_from(("replace", "replace", "replace", "remove", "repeat")))
    if how == "replace":
        tree[step] = draw(junk)
    elif how == "remove":
        del tree[step]
    elif isinstance(tree, dict):
        return Twice(draw(st.permutations([*tree.items(), (step, draw(junk))])))
    else:
        tree.append(tree[step])
    return tree


@st.composite
def damaged_bytes(draw, content):
    """Bytes with some cut off, changed, inserted or repeated."""
    at = draw(st.integers(0, len(content)))
    end = draw(st.integers(at, min(len(content), at + 20)))
    match draw(st.sampled_from(("cut", "drop", "insert", "repeat", "replace"))):
        case "cut":
            return content[:at]
        case "drop":
            return content[:at] + content[end:]
        case "insert":
            return content[:at] + draw(st.binary(max_size=20)) + content[at:]
        case "repeat":
            return content[:at] + content[at:end] * draw(st.integers(2, 50)) + content[end:]
        case _:
            return content[:at] + draw(st.binary(min_size=1, max_size=4)) + content[end:]
