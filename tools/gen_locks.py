"""Write `images/locks/<dist>.txt`, or with `--check` say which is stale.

Called by `make locks`, by `.ci/run` (`--check`), and by whoever moves `exclude-newer` or a range on a third party. A
lock holds third parties only, because our own names belong to strangers on the public index, and no address.

Exit codes: 0 fine, 1 locks are stale (`--check`), 2 there is nothing to lock with.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from images.pins import image_packages, lock_text, own_names, pins
from images.targets import ImageError

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "images" / "locks"


def locks(root: Path) -> dict[Path, str]:
    """Return every lock's text by its file.

    Raises:
        ImageError: a package cannot be locked.
    """
    made = {}
    for package in image_packages(root):
        text = lock_text(package, list(pins(root, package)))
        if own := own_names(root, text):
            raise ImageError(
                f"{package}: {', '.join(own)} would come from an index; [tool.uv.sources] must name each of ours"
            )
        made[root / "images" / "locks" / f"{package}.txt"] = text
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the module's docstring has the exit codes."""
    parser = argparse.ArgumentParser(
        description="write images/locks from the workspace's resolution"
    )
    parser.add_argument("--check", action="store_true", help="write nothing, name what is stale")
    check = parser.parse_args(argv).check
    try:
        wanted = locks(ROOT)
    except (ImageError, OSError) as error:
        print(f"gen_locks: {error}", file=sys.stderr)
        return 2
    stale = [
        path
        for path, text in wanted.items()
        if not path.is_file() or path.read_text("utf-8") != text
    ]
    extra = sorted(set(LOCKS.glob("*.txt")) - set(wanted))
    for path in (*stale, *extra):
        print(f"{path.relative_to(ROOT)}: {_done(path in wanted, check)}")
        if not check:
            _apply(path, wanted.get(path))
    if check and (stale or extra):
        print(
            "gen_locks: run `uv run python tools/gen_locks.py` and commit what it writes",
            file=sys.stderr,
        )
        return 1
    return 0


def _done(wanted: bool, check: bool) -> str:  # noqa: FBT001 (two answers, four words)
    if check:
        return "stale" if wanted else "of no package"
    return "written" if wanted else "removed"


def _apply(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
