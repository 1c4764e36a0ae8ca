"""Every fenced block of the users' CDI pages runs, and prints what the page shows.

`console` blocks are commands after `$ ` with their output (standard error first), `python` blocks print what
the `text` block after them shows. They run in a folder of their own beside the small node tree of `_prepare`.
"""

import contextlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pydra_cdi import SpecBuilder, SpecDirectory
from pydra_cdi.cli import COMMANDS, main
from pydra_cdi.lint import RULES
from pydra_cdi.runtimes import SINCE
from pydra_cdi.versions import FLOOR, KNOWN_VERSIONS

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs/user"
PAGES = sorted(DOCS.glob("cdi-*.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ACME = """\
cdiVersion: 1.1.0
kind: acme.example/card
containerEdits:
  env: [ACME=1]
devices:
- name: card0
  containerEdits:
    deviceNodes:
    - {path: /dev/acme0, type: c, major: 240}
    mounts:
    - {hostPath: /opt/acme, containerPath: /opt/acme, options: [ro, rbind]}
- name: card1
  containerEdits:
    env: [CARD=1]
"""
BROKEN = '{"cdiVersion": "0.5.0", "kind": "acme.example/key", "devices": [{"name": "k0"}]}\n'


def _prepare(host):
    etc, run = host / "etc/cdi", host / "var/run/cdi"
    etc.mkdir(parents=True)
    (etc / "acme.yaml").write_text(ACME)
    (etc / "acme.yaml").chmod(0o644)
    card1 = SpecBuilder("acme.example/card").device("card1").env(CARD="one").done().build()
    SpecDirectory(run, owner="acme-driver").write(card1, "claim-7")


def _break(host):
    """On one page, a file of the node is broken."""
    key = host / "var/run/cdi/key.json"
    key.write_text(BROKEN)
    key.chmod(0o644)


@pytest.fixture
def shell(tmp_path, monkeypatch):
    _prepare(tmp_path / "node")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    return Shell()


class Shell:
    """Runs commands; those of `pydra-cdi` in this process, which is quicker."""

    def __init__(self):
        self.code = 0

    def run(self, command):
        if command == "echo $?":
            return f"{self.code}\n"
        words = shlex.split(command)
        if words[0] == "pydra-cdi" and not set("|<>*;").intersection(command):
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                self.code = main(words[1:])
            return err.getvalue() + out.getvalue()
        ended = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, check=False, timeout=30
        )
        self.code = ended.returncode
        return ended.stderr + ended.stdout

    def python(self, code, name):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, name, "exec"), {"__name__": "__main__"})
        return out.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_a_page_runs_and_prints_what_is_shown(page, shell):
    if page.name == "cdi-device-not-found.md":
        _break(Path("node"))
    blocks = FENCE.findall(page.read_text())
    assert blocks
    printed = ""
    for language, text in blocks:
        match language:
            case "console":
                for step in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                    command, _, shown = step.partition("\n")
                    assert shell.run(command) == shown, command
            case "python":
                printed = shell.python(text, str(page))
            case "text":
                assert printed == text
            case _:
                pytest.fail(f"{page.name}: nobody runs a block of {language!r}")


def test_every_page_asks_a_question_is_short_and_stands_in_the_index():
    index = (DOCS / "README.md").read_text()

    for page in PAGES:
        text = page.read_text()
        title = text.splitlines()[0]
        assert title.startswith("# ")
        assert title.endswith("?")
        assert len(text.splitlines()) <= 70, page.name
        assert f"[{title[2:]}]({page.name})" in index


def test_the_table_of_runtimes_says_what_lint_holds_a_spec_to():
    rows = re.findall(
        r"^\| ([\w-]+) ((?:\| \S+ )+)\|$", (DOCS / "cdi-runtimes.md").read_text(), re.MULTILINE
    )
    shown = {name: [cell for cell in cells.split() if cell != "|"] for name, cells in rows}

    versions = KNOWN_VERSIONS[KNOWN_VERSIONS.index(FLOOR) :]
    assert shown.pop("runtime") == list(versions)
    assert shown.keys() == SINCE.keys()
    for family, steps in SINCE.items():
        told = dict(zip(versions, shown[family], strict=True))
        for version, cell in told.items():
            reading = [first for first, newest in steps if _at_least(newest, version)]
            assert cell == (_short(min(reading)) if reading else "-"), (family, version)


def _at_least(one, other):
    return KNOWN_VERSIONS.index(one) >= KNOWN_VERSIONS.index(other)


def _short(release):
    return ".".join(map(str, release if release[2] else release[:2]))


def test_the_table_of_rules_names_every_rule():
    shown = re.findall(
        r"^\| `([a-z-]+)` \|", (DOCS / "cdi-lint-rules.md").read_text(), re.MULTILINE
    )

    assert sorted(shown) == sorted(RULES)


def test_the_pages_show_every_command():
    text = "".join(page.read_text() for page in PAGES)

    assert [command.name for command in COMMANDS if f"pydra-cdi {command.name}" not in text] == []
