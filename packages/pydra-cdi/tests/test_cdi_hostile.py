"""Hostile bytes raise `SpecError` and nothing else, soon and in little memory."""

import json
import random
import subprocess
import sys

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pydra_cdi import SpecError, decode_spec
from pydra_cdi.codec import read_text

SIZE = 8 * 1024 * 1024  # as large as `read_spec` takes
HEAD = b'{"cdiVersion":"0.7.0","kind":"v/c","devices":[{"name":"a","containerEdits":{'
EDITS = b"cdiVersion: 0.7.0\nkind: v/c\ndevices:\n- name: a\n  containerEdits:\n"


def filled(head, unit, tail=b"", size=SIZE):
    return head + unit * ((size - len(head) - len(tail)) // len(unit)) + tail


def numbered(line, count):
    return b"".join(line % (index,) for index in range(count))[:SIZE]


BOMBS = {
    "group IDs": lambda: filled(HEAD + b'"additionalGids":[', b"4294967295,", b"1]}}]}"),
    "long variables": lambda: filled(HEAD + b'"env":[', b'"A' + b"=" * 37 + b'",', b'"A=b"]}}]}'),
    "bad variables": lambda: filled(HEAD + b'"env":[', b'"A' + b"b" * 37 + b'",', b'"A=b"]}}]}'),
    "keys of annotations": lambda: (
        b'{"annotations":{' + numbered(b'"%d":"' + b"x" * 40 + b'",', 140_000) + b'"a":""}}'
    ),
    "a key again and again": lambda: filled(b"{", b'"kind":"v/c",', b'"kind":"v/c"}', 900_000),
    "a list in block style": lambda: filled(b"", b"- 1\n"),
    "unknown fields": lambda: b"{" + numbered(b'"k%d":1,', 45_000) + b"}",
    "deep lists": lambda: filled(b"", b"- "),
    "deep keys": lambda: filled(b"", b"? "),
    "deep flow": lambda: b"[" * 290_000,
    "deep indents": lambda: b"".join(b" " * depth + b"a:\n" for depth in range(4000)),
    "one string": lambda: filled(b'{"kind":"', b"x", b'"}'),
    "one plain string": lambda: filled(b"kind: ", b"x"),
    "one key": lambda: filled(b'{"', b"x", b'":1}'),
    "characters of four bytes": lambda: filled(b'{"kind":"', "\U0001f600".encode(), b'"}'),
    "digits": lambda: filled(b'{"kind":', b"9", b"}"),
    "a fraction": lambda: filled(b"kind: .", b"9", b"x"),
    "underscores": lambda: filled(b"kind: 1", b"_"),
    "hexadecimal zeros": lambda: filled(b"kind: 0x", b"0"),
    "an anchor": lambda: filled(b"kind: &", b"a", b" x"),
    "many anchors": lambda: b"a:\n" + numbered(b"- &a%d x\n", 280_000),
    "an alias": lambda: filled(b"kind: *", b"a"),
    "aliases": lambda: filled(b"a: &a [1,2,3]\nb:\n", b"- *a\n"),
    "merges": lambda: filled(b"a: &a {x: 1}\nb:\n", b"  <<: *a\n", b"", 2_000_000),
    "shared edits": lambda: (
        EDITS
        + b"    env: &v ["
        + b"A=b," * 40_000
        + b"]\n"
        + numbered(b"- {name: a%d, containerEdits: {env: *v}}\n", 20_000)
    ),
    "a tag": lambda: filled(b"kind: !", b"a", b" x"),
    "tag directives": lambda: numbered(b"%%TAG !a%d! b\n", 400_000),
    "directives": lambda: filled(b"", b"%A\n"),
    "documents": lambda: filled(b"a\n", b"---\n"),
    "comments": lambda: filled(b"", b"#\n"),
    "blanks": lambda: b" " * SIZE,
    "tabs": lambda: filled(b"{", b"\t", b"}"),
    "quotes": lambda: b'"' * SIZE,
    "NUL": lambda: bytes(SIZE),
    "no UTF-8": lambda: b"\xff" * SIZE,
    "backslashes": lambda: filled(b'{"kind":"', rb"\\", b'/"}'),
    "refused escapes": lambda: filled(b'{"kind":"', rb"\\/", b'"}'),
    "escapes": lambda: filled(b'{"kind":"', rb"\u0041", b'"}'),
    "odd line breaks": lambda: filled(b'kind: "', b"\xc2\x85", b'"'),
    "folded lines": lambda: filled(b"kind: >\n", b" a\n"),
    "UTF-16": lambda: ("\ufeff" + '{"kind":"' + "x" * (SIZE // 2 - 20) + '"}').encode("utf-16-le"),
    "accidents": lambda: EDITS + b"    env:\n" + b"    - 010\n" * 90_000,
    "octal numbers": lambda: (
        EDITS + b"    additionalGids:\n" + b"    - 010\n" * 90_000 + b"    - x\n"
    ),
    "mistyped nodes": lambda: EDITS + b"    deviceNodes:\n" + b"    - 1\n" * 90_000,
    "floats": lambda: HEAD + b'"additionalGids":[' + b"1.0," * 90_000 + b"1.5]}}]}",
}

# Reads texts from its standard input, each after its length; tells exception, CPU seconds and the peak in KiB
# above the empty process and the text itself; what earlier texts left counts too.
CHILD = """
import gc, sys, time
from pydra_cdi import SpecError, decode_spec
try: decode_spec(b"- x")  # so that the YAML parser is there
except SpecError: pass

def status(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key))

base = status("VmRSS")
while length := sys.stdin.buffer.read(8):
    data = sys.stdin.buffer.read(int.from_bytes(length))
    gc.collect()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak begins anew
    start = time.process_time()
    try:
        decode_spec(data)
        raised = "nothing"
    except Exception as error:
        raised = type(error).__name__
        del error
    print(raised, time.process_time() - start, status("VmHWM") - base - len(data) // 1024, flush=True)
"""


def test_bombs_cost_less_than_two_seconds_and_64_mib_each():
    """CPU seconds of the reading process, which other load on the machine does not lengthen; most take a tenth."""
    costs = {}
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        for name, bomb in BOMBS.items():
            data = bomb()
            child.stdin.write(len(data).to_bytes(8) + data)
            child.stdin.flush()
            raised, seconds, kib = child.stdout.readline().split()
            costs[name] = (raised.decode(), float(seconds), int(kib))
        child.stdin.close()

    assert {name for name, cost in costs.items() if cost[0] != "SpecError"} == {"long variables"}
    assert {n: c for n, c in costs.items() if c[1] > 2 or c[2] > 64 * 1024} == {}


SEED = json.dumps(
    {
        "cdiVersion": "0.7.0",
        "kind": "v/c",
        "annotations": {"k": "v"},
        "devices": [
            {
                "name": "a",
                "containerEdits": {
                    "env": ["A=b"],
                    "deviceNodes": [{"path": "/dev/x", "major": 1, "uid": 0}],
                    "mounts": [{"hostPath": "/h", "containerPath": "/c", "options": ["ro"]}],
                    "intelRdt": {"closID": "x", "enableMonitoring": True},
                },
            }
        ],
    }
)
PIECES = [
    "null", "010", "1e3", "-0.0", ".inf", "yes", "<<", "*a", "&a ", "!!binary ", "!!int ", "!x ", "'", '"', "{", "}",
    "[", "]", ",", ":", "? ", "- ", "#", "\n", "\t", "\\/", "\\ud83d", "\u2028", "\u0085", "\ufeff", "\x7f", "---\n",
    "...\n", "%YAML 1.2\n", "KIND", "kind", "|", ">", "\U0001f600", "=", "/",
]  # fmt: skip


@st.composite
def mutated(draw):
    """A good spec with pieces written over it, at random places and of random lengths."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    text = SEED
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(PIECES) + text[at + rng.randint(0, 6) :]
    data = text.encode()
    return data[: rng.randrange(len(data))] if rng.random() < 0.1 else data


@settings(deadline=None, max_examples=400)
@given(
    mutated()
    | st.binary(max_size=100)
    | st.text("{}[]:,-?&*!|>'\"%@` \n\t#a1.~<=", max_size=40).map(str.encode)
)
@example(b"\xff\xfe")
@example(b"\xef\xbb\xbf")
@example(b"{\xed\xa0\x80}")
def test_no_bytes_raise_anything_but_a_spec_error(data):
    reading = spec_of(read_text, data)
    spec = spec_of(decode_spec, data)

    if isinstance(reading, SpecError):
        assert isinstance(spec, SpecError)
    elif isinstance(spec, SpecError):
        assert all(fault.line for fault in spec.faults)
    else:
        assert spec == reading.spec


def spec_of(read, data):
    try:
        return read(data)
    except SpecError as error:
        return error


@settings(deadline=None, max_examples=300)
@given(mutated())
@example(SEED.encode())
def test_a_byte_order_mark_changes_nothing_though_it_forces_the_slow_reading(data):
    fast, slow = spec_of(read_text, data), spec_of(read_text, b"\xef\xbb\xbf" + data)

    assert type(fast) is type(slow)
    if not isinstance(fast, SpecError):
        assert fast == slow
