"""The `pydra` program, and `main` for a driver's own: both find their sub-commands by entry point."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import entry_points, version
from pathlib import Path

from pydra_core.command import FINDING, USAGE, Command
from pydra_core.driver import Driver
from pydra_core.errors import ConfigError, PydraError


def main(
    driver: type[Driver] | None = None,
    argv: Sequence[str] | None = None,
    more: Sequence[Command] = (),
) -> None:
    """Run the command line and exit: 0 fine, 1 a finding, 2 usage or configuration.

    Args:
        driver: preset by a driver's own program, `main(AcmeDriver)`; None for `pydra` itself.
        argv: arguments without the program's name; None takes the process's.
        more: commands that only this program has, such as one that keeps a vendor's daemons.
    """
    sys.exit(_main(driver, argv, more))


def _main(driver: type[Driver] | None, argv: Sequence[str] | None, more: Sequence[Command]) -> int:
    if driver and not isinstance(getattr(driver, "name", None), str):
        sys.stderr.write(
            f"driver {driver.__qualname__}: has no name; give the class one, like 'card.acme.example'\n"
        )
        return USAGE
    parser = _parser(driver, sorted((*_commands(driver), *more), key=lambda c: c.name))
    arguments = parser.parse_args(argv)
    try:
        code: int = arguments.command.run(arguments)
    except ConfigError as err:
        parser.exit(USAGE, f"{parser.prog}: {err}\n")
    except PydraError as err:
        parser.exit(FINDING, f"{parser.prog}: {err}\n")
    except BrokenPipeError:  # `pydra discover | head`
        sys.stderr.close()
        return FINDING
    except KeyboardInterrupt:
        return 130
    return code


def _commands(driver: type[Driver] | None) -> Iterator[Command]:
    groups = ("pydra.driver_commands",) if driver else ("pydra.driver_commands", "pydra.commands")
    for entry in sorted((e for g in groups for e in entry_points(group=g)), key=lambda e: e.name):
        try:
            yield entry.load()
        except ImportError as err:
            sys.stderr.write(f"command {entry.name} ({entry.value}) cannot be loaded: {err}\n")


def _program() -> str | None:
    """The name a person typed; argparse's own, None, is right except under `python -m`, where it is the file's."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None or Path(sys.argv[0]).name != "__main__.py":
        return None
    return f"python -m {spec.parent}"


def _parser(driver: type[Driver] | None, commands: Iterable[Command]) -> ArgumentParser:
    what = f"The driver {driver.name}." if driver else "Kubernetes accelerators in Python."
    parser = ArgumentParser(prog=_program(), description=what)
    parser.add_argument(
        "--version", action="version", version=f"pydra-core {version('pydra-core')}"
    )
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in commands:
        subparser = subparsers.add_parser(command.name, help=command.help, description=command.help)
        subparser.set_defaults(command=command)
        if driver:
            subparser.set_defaults(driver=driver)
        command.configure(subparser)
    return parser
