"""tools/check_house.py against a made-up tree that breaks each rule once, and against ours."""

import gzip
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = "packages/pydra-core/src/pydra_core"
ACME = "packages/acme/src/acme"

# Spelt in pieces for the reason the tool spells them so: this file is checked too.
HOST = "py" + "pi.org"
PACKAGE_FILE = "https://example.com/acme-1.0-py3-none-any." + "whl"
MACHINE_PATH = "/wo" + "rk/acme"
IGNORE = "# type: " + "ignore"
NOQA = "# no" + "qa"

LONG_FUNCTION = "def long() -> None:\n" + "    long()\n" * 40
CATCH = "def {}() -> None:\n    try:\n        return\n    except {}:\n        return\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def write(root: Path, path: str, content: str | bytes) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content if isinstance(content, bytes) else content.encode())


def check(root: Path) -> tuple[int, list[str]]:
    """Run the tool: its exit code, and its lines but the last, which counts them."""
    command = [sys.executable, str(ROOT / "tools" / "check_house.py"), str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()[:-1]


VIOLATIONS = {
    "a module of 301 lines": (f"{ACME}/long.py", "#\n" * 301, 1, "module-length"),
    "a function of 41 lines": (f"{ACME}/f.py", LONG_FUNCTION, 1, "function-length"),
    "26 public names": (f"{ACME}/n.py", f"__all__ = {['x'] * 26}\n", 1, "public-names"),
    "computed public names": (f"{ACME}/n.py", "__all__ = list('abc')\n", 1, "public-names"),
    "except Exception": (f"{CORE}/a.py", CATCH.format("f", "Exception"), 4, "broad-catch"),
    "except with a tuple": (f"{CORE}/a.py", CATCH.format("f", "(OSError, BaseException)"), 4, None),
    "a bare except": (f"{CORE}/a.py", CATCH.format("f", "").replace(" :", ":"), 4, "broad-catch"),
    "suppress(Exception)": (f"{CORE}/a.py", "with suppress(Exception):\n    f()\n", 1, None),
    "an ignore without code": ("tests/a.py", f"x = 1  {IGNORE}\n", 1, "reason"),
    "an ignore without reason": ("tests/a.py", f"x = 1  {IGNORE}[assignment]\n", 1, "reason"),
    "a noqa without code": ("tools/a.py", f"x = 1  {NOQA}\n", 1, "reason"),
    "a noqa without reason": ("tools/a.py", f"x = 1\ny = 2  {NOQA}: S101, T201\n", 2, "reason"),
    "a whole file's noqa": ("tools/a.py", f"{NOQA.replace('no', 'ruff: no')}\n", 1, "reason"),
    "one reason for two": ("a.py", f"x = 1  {IGNORE}[misc]  {NOQA}: S101 - a test\n", 1, "reason"),
    "a fragment without issue": ("packages/acme/changes/fix.bugfix.md", "x", 1, "fragment"),
    "a fragment of no kind": ("packages/acme/changes/12.fix.md", "x", 1, "fragment"),
    "an empty fragment": ("packages/acme/changes/12.doc.md", "\n", 1, "fragment"),
    "a registry's host": ("ci.yml", f"a: 1\nindex: https://{HOST}/simple\n", 2, "leak"),
    "a package file": ("pyproject.toml", f"# {PACKAGE_FILE}\n", 1, "leak"),
    "a machine's path": ("README.md", f"see {MACHINE_PATH}/x\n", 1, "leak"),
    "a path inside gzip": ("data.gz", gzip.compress(f"{MACHINE_PATH}/x".encode()), 1, "leak"),
    "no Python": (f"{ACME}/s.py", "def :\n", 1, "syntax"),
}


@pytest.mark.parametrize(
    ("path", "content", "line", "rule"), VIOLATIONS.values(), ids=VIOLATIONS.keys()
)
def test_each_broken_rule_is_named_with_its_place(
    tree: Path, path: str, content: str, line: int, rule: str | None
) -> None:
    write(tree, path, content)
    returncode, findings = check(tree)
    assert returncode == 1
    assert len(findings) == 1
    assert findings[0].startswith(f"{path}:{line}: {rule or 'broad-catch'}: ")


def test_the_path_of_the_checkout_itself_is_a_leak(tree: Path) -> None:
    write(tree, "notes.md", f"see {tree}/x\n")
    assert "the path of this checkout" in check(tree)[1][0]


def test_what_the_rules_allow_is_no_finding(tree: Path) -> None:
    docstring = '    """Say.\n' + "\n" * 60 + '    """\n'
    write(tree, f"{ACME}/f.py", f"def f() -> None:\n{docstring}" + "    f()\n" * 39)
    write(tree, f"{ACME}/a_pb2.py", "#\n" * 400)
    write(tree, f"{ACME}/n.py", f"__all__ = {['x'] * 25}\n")
    write(tree, f"{CORE}/a.py", "try:\n    f()\nexcept BaseException:\n    g()\n    raise\n")
    reasons = f'x = 1  {IGNORE}[misc]  # stub is wrong  {NOQA}: S101 - a test\ny = "{IGNORE}"\n'
    write(tree, "tests/a.py", reasons)
    write(tree, "packages/acme/changes/12.bugfix.md", "Claims survive a reboot.\n")
    write(tree, "ignored/a.py", f"# {MACHINE_PATH}/x\n")
    write(tree, ".gitignore", "ignored/\n")
    write(tree, "damaged.gz", b"\x1f\x8bno gzip")
    assert check(tree) == (0, [])


def test_each_listed_place_may_catch_once_and_must(tree: Path) -> None:
    listing = (ROOT / "tools/house/catches.py").read_text()
    places = re.findall(r'CORE \+ "(\S+):(\w+)": ', listing)
    assert len(places) == 5
    for path, function in places:
        write(tree, f"{CORE}/{path}", CATCH.format(function, "Exception"))
    assert check(tree) == (0, [])

    path, function = places[0]
    write(tree, f"{CORE}/{path}", CATCH.format(function, "Exception") * 2)
    assert f"{function} catches everything" in check(tree)[1][0]

    write(tree, f"{CORE}/{path}", CATCH.format(function, "OSError"))
    assert "catches nothing: unlist it" in check(tree)[1][0]


def test_outside_a_git_checkout_it_says_so(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tools" / "check_house.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "git lists no files" in done.stderr


def test_our_own_tree_keeps_the_rules() -> None:
    returncode, findings = check(ROOT)
    assert findings == []
    assert returncode == 0
