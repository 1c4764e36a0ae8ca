"""The two environments of cel-expr-python that a selector passes through.

The checking environment knows Kubernetes' types exactly, so that what compiles here compiles there. The
running environment takes the same tree with loose types: attribute values are `any` to Kubernetes, which
the evaluator can only carry as `dyn`, and overloads that differ in element types collide at run time.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import Any

from cel_expr_python import cel

from pydra_testbed.cel.features import DEFAULT, Features
from pydra_testbed.cel.functions import FUNCTIONS
from pydra_testbed.cel.values import POOL

_T = cel.Type
_MOST_OPERANDS = 6
NEVER = "never_"
# Of the authorizer, whose functions Kubernetes' compiler knows although selectors have no such variable.
_ELSEWHERE = (
    "path", "serviceAccount", "group", "resource", "subresource", "namespace", "name", "check", "allowed",
    "reason", "errored", "error", "fieldSelector", "labelSelector",
)  # fmt: skip
_ORDER = {"_<_": "less", "_<=_": "less_equals", "_>_": "greater", "_>=_": "greater_equals"}


@cache
def _extensions_and_functions() -> str:
    return (resources.files(__package__) / "environment.yaml").read_text(encoding="utf-8")


def _variables(attribute: Any) -> dict[str, Any]:
    """`device` is one message, but its maps are variables of their own: messages cannot nest maps."""
    quantity = _T("kubernetes.Quantity")
    return {
        "device": _T("kubernetes.DRADevice"),
        "device.attributes": _T.Map(_T.STRING, _T.Map(_T.STRING, attribute)),
        "device.capacity": _T.Map(_T.STRING, _T.Map(_T.STRING, quantity)),
    }


@cache
def checking_environment(features: Features = DEFAULT) -> Any:
    """Parses and type-checks; never evaluates. Attributes may be lists, so iterated, only with their gate on."""
    attribute = _T.DYN if features.list_attributes else _T("google.protobuf.Any")
    environment = cel.NewEnv(
        descriptor_pool=POOL,
        config=cel.NewEnvConfigFromYaml(_with_other_styles(_extensions_and_functions())),
        variables=_variables(attribute),
        extensions=[cel.CelExtension("kubernetes", _overloads_of_known_names())],
    )
    environment.compile("true")  # Declarations are read late: what is wrong with them shows here.
    return environment


def _overloads_of_known_names() -> list[Any]:
    """What YAML cannot add to a name that exists: ordering across number types, positions in lists."""
    numbers = {"int64": _T.INT, "uint64": _T.UINT, "double": _T.DOUBLE}
    found = [
        cel.FunctionDecl(
            operator,
            [
                cel.Overload(f"{name}_{a}_{b}", _T.BOOL, [numbers[a], numbers[b]])
                for a in numbers
                for b in numbers
                if a != b
            ],
        )
        for operator, name in _ORDER.items()
    ]
    for name in ("indexOf", "lastIndexOf"):
        overload = cel.Overload(f"list_{name}", _T.INT, [_T.LIST, _T.DYN], is_member=True)
        found.append(cel.FunctionDecl(name, [overload]))
    texts = [cel.Overload(f"{t}_to_string", _T.STRING, [_T(t)]) for t in ("net.IP", "net.CIDR")]
    return [*found, cel.FunctionDecl("string", texts)]


def _with_other_styles(declarations: str) -> str:
    """Add functions called as methods, and methods as functions: known names that no operand fits."""
    styles = {(f.name, f.is_member) for f in FUNCTIONS}

    def add(match: re.Match[str]) -> str:
        name = match["name"]
        if ("." in name) or ((name, True) in styles) == ((name, False) in styles):
            return match[0]
        return match[0] + _never(name, as_method=(name, False) in styles)

    known = re.sub(r"  - name: (?P<name>\S+)\n    overloads:\n", add, declarations)
    elsewhere = (
        f"  - name: {name}\n    overloads:\n{_never(name, as_method=True)}" for name in _ELSEWHERE
    )
    return known + "".join(elsewhere)


def _never(name: str, *, as_method: bool) -> str:
    """Overloads of every arity that no operand fits; `checks` refuses them where an untyped one does."""
    lines = []
    for arity in range(1, _MOST_OPERANDS):
        operands = ["kubernetes.Nothing"] * arity
        call = f"{name}({', '.join(operands)})"
        if as_method:
            call = f"{operands[0]}.{name}({', '.join(operands[1:])})"
        lines.append(f'      - {{id: {NEVER}{name}_{arity}, signature: "{call}", return: dyn}}\n')
    return "".join(lines)


@cache
def running_environment() -> Any:
    """Evaluates trees that the checking environment accepted."""
    extensions = _extensions_and_functions().partition("\nfunctions:")[0]
    return cel.NewEnv(
        descriptor_pool=POOL,
        config=cel.NewEnvConfigFromYaml(extensions),
        variables=_variables(_T.DYN),
        extensions=[cel.CelExtension("kubernetes", _declarations())],
    )


@cache
def calling_environment() -> Any:
    """Evaluates single calls of standard functions on values given as `a0`, `a1` and so on."""
    extensions = _extensions_and_functions().partition("\nfunctions:")[0]
    return cel.NewEnv(
        descriptor_pool=POOL,
        config=cel.NewEnvConfigFromYaml(extensions),
        variables={f"a{index}": _T.DYN for index in range(_MOST_OPERANDS)},
    )


def _declarations() -> list[Any]:
    """Untyped overloads by arity; only as an extension do they take arguments of every kind."""
    functions: dict[str, list[Any]] = {}
    for function in FUNCTIONS:
        overload = cel.Overload(
            f"{function.name}/{function.arity}/{function.is_member}",
            return_type=_T.DYN,
            parameters=[_kind(function.first), *[_T.DYN] * (function.arity - 1)][: function.arity],
            is_member=function.is_member,
            impl=function.call,
        )
        functions.setdefault(function.name, []).append(overload)
    return [cel.FunctionDecl(name, overloads) for name, overloads in functions.items()]


def _kind(name: str) -> Any:
    if not name:
        return _T.DYN
    return _T.LIST if name == "list" else _T(name)
