"""The sub-command itself: `schema`, `policy` and `example` of a driver's model. Found by entry point."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from pydra_core._commands import options
from pydra_core.command import FINE, Command
from pydra_core.errors import ConfigError

_ACTIONS = {
    "schema": "print the JSON Schema (2020-12) of the driver's parameters",
    "policy": "print a ValidatingAdmissionPolicy that refuses wrong parameters, for kubectl apply",
    "example": "print a class, claims and templates with parameters that fit",
}


def _configure(parser: ArgumentParser) -> None:
    driver = parser.get_default("driver")
    actions = parser.add_subparsers(required=True, metavar="ACTION", dest="action")
    for name, help_text in _ACTIONS.items():
        one = actions.add_parser(name, help=help_text, description=help_text)
        one.set_defaults(driver=driver)
        options.add_driver(one)
        one.add_argument(
            "-o",
            "--output",
            choices=("yaml", "json"),
            default="json" if name == "schema" else "yaml",
        )
        if name == "policy":
            one.add_argument("--name", default="", help="of the policy and its binding")
            one.add_argument(
                "--action",
                dest="verdict",
                choices=("Deny", "Warn", "Audit"),
                default="Deny",
                help="what becomes of wrong parameters (default Deny)",
            )


def _run(arguments: Namespace) -> int:
    from pydra_core._parameters import examples, policy, schema  # noqa: PLC0415 (other commands start without it)

    driver = options.find_driver(arguments)
    if arguments.action == "policy":
        made = policy.policy(
            driver.name, driver.config, name=arguments.name, action=arguments.verdict
        )
        _print(made, arguments.output)
        return FINE
    if driver.config is None:
        raise ConfigError(
            f"driver {driver.name}: takes no parameters; give its class a `config` model",
            key="config",
            source=driver.__qualname__,
        )
    if arguments.action == "schema":
        title = f"Parameters of driver {driver.name}"
        _print([schema.json_schema(driver.config, title)], arguments.output, bare=True)
    else:
        _print(examples.manifests(driver.name, driver.config), arguments.output)
    return FINE


def _print(documents: Sequence[dict[str, Any]], form: str, *, bare: bool = False) -> None:
    """As kubectl takes them; `bare` is one document that is no Kubernetes object."""
    if form == "yaml":
        import yaml  # noqa: PLC0415 (1 MB that a running driver need not hold)

        yaml.safe_dump_all(documents, sys.stdout, sort_keys=False, width=1000, allow_unicode=True)
        return
    listed = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
    json.dump(documents[0] if bare else listed, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


command = Command("config", "show what a driver's opaque parameters may be", _configure, _run)
