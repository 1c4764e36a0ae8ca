"""Write `docs/reference` from docstrings and settings, or with `--check` say what is stale.

Called by whoever edits a public name or its docstring, and by a test (`--check`).

Exit codes: 0 fine, 1 pages are stale (`--check`), 2 a public name is not to be found.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from reference.pages import PAGES, page, settings_page
from reference.sources import Sources, UnknownNameError

ROOT = Path(__file__).resolve().parent.parent
PAGES_FOLDER = ROOT / "docs" / "reference"


def pages() -> dict[Path, str]:
    """Return every page's text by its file."""
    sources = Sources(*sorted((ROOT / "packages").glob("*/src")))
    made = {PAGES_FOLDER / f"{package}.md": page(sources, package) for package in PAGES}
    return made | {PAGES_FOLDER / "settings.md": settings_page()}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the module's docstring has the exit codes."""
    parser = argparse.ArgumentParser(description="write docs/reference from docstrings")
    parser.add_argument("--check", action="store_true", help="write nothing, name what is stale")
    check = parser.parse_args(argv).check
    try:
        wanted = pages()
    except UnknownNameError as error:
        print(f"gen_reference: {error}", file=sys.stderr)
        return 2
    stale = [path for path, text in wanted.items() if _read(path) != text]
    for path in stale:
        print(f"{path.relative_to(ROOT)}: {'stale' if check else 'written'}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
    if check and stale:
        told = "run `uv run python tools/gen_reference.py` and commit what it writes"
        print(f"gen_reference: {told}", file=sys.stderr)
    return 1 if check and stale else 0


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


if __name__ == "__main__":
    sys.exit(main())
