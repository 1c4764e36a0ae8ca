"""The pages of `docs/reference`: which names each tells of, and how a name is printed."""

import ast
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from pydra_core.settings import Settings, all_keys
from reference.docstrings import markdown
from reference.sources import Found, Sources, definitions, target

_WIDTH = 96
_JOINT = "\N{NO-BREAK SPACE}"  # no line ends here
_HEAD = "<!-- Written by tools/gen_reference.py from docstrings: edit those, then run it. -->\n"


@dataclass(frozen=True)
class Section:
    """One module's public names on a page; with a title of its own it is a pytest plugin's fixtures."""

    module: str
    title: str = ""


PAGES = ("pydra_core", "pydra_cdi", "pydra_testbed")
_PROGRAMS = {"cli", "__main__"}
_TESTBED = tuple(
    Section(f"pydra_testbed.{name}")
    for name in (
        "harness", "cluster", "nodes", "host_tree", "driver_process", "clock", "api", "kubelet",
    )
)  # fmt: skip
_PLUGIN = Section("pydra_testbed.pytest_plugin", title="Fixtures of pytest")


def _sections(sources: Sources, package: str) -> tuple[Section, ...]:
    """Return a package's public names, then its public modules; of the testbed what tests of drivers need."""
    if package == "pydra_testbed":
        return (_PLUGIN, *_TESTBED)
    names = [n for n in sources.modules(package) if n[0] != "_" and n not in _PROGRAMS]
    return (Section(package), *(Section(f"{package}.{name}") for name in names))


def page(sources: Sources, package: str) -> str:
    """Return the page of one package."""
    told: set[int] = set()
    parts = [_HEAD, f"# `{package}`\n"]
    for section in _sections(sources, package):
        names = "\n".join(_section(sources, section, told))
        if names:
            module = sources.module(section.module)
            parts.append(f"## {section.title or f'`{section.module}`'}\n")
            parts.append(f"{markdown(module.doc)}\n\n{names}".rstrip() + "\n")
    return "\n".join(parts)


def _section(sources: Sources, section: Section, told: set[int]) -> Iterator[str]:
    if section.title:
        for found in _fixtures(sources, section.module):
            yield _entry(found)
        return
    for name in sources.module(section.module).public():
        found = sources.find(section.module, name)
        if id(found.node) not in told:
            told.add(id(found.node))
            yield _entry(Found(name, found.node, found.doc))


def _fixtures(sources: Sources, module: str) -> Iterator[Found]:
    """Yield the fixtures of a pytest plugin, also one made by a call that names it."""
    tree = sources.module(module).tree
    functions = {found.name: found for found in definitions(tree.body)}
    for found in functions.values():
        if isinstance(found.node, ast.FunctionDef | ast.AsyncFunctionDef):
            name = found.name.lstrip("_")
            made = any(ast.unparse(d).endswith("fixture") for d in found.node.decorator_list)
            if made or _is_named(tree, name, found.name):
                yield Found(name, found.node, found.doc)


def _is_named(tree: ast.Module, name: str, function: str) -> bool:
    """Whether somewhere `fixture(name=...)(function)` is called."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Call)
        and [ast.unparse(argument) for argument in node.args] == [function]
        and [ast.unparse(k.value) for k in node.func.keywords if k.arg == "name"] == [repr(name)]
        for node in ast.walk(tree)
    )


def _entry(found: Found) -> str:
    if isinstance(found.node, ast.ClassDef):
        code, parts = _class(found.name, found.node), list(_methods(found.name, found.node))
    elif isinstance(found.node, ast.FunctionDef | ast.AsyncFunctionDef):
        code, parts = _signature(found.name, found.node), []
    else:
        code, parts = _wrapped(ast.unparse(found.node)), []
    body = [f"### `{found.name}`", f"```python\n{code}\n```", markdown(found.doc), *parts]
    return "\n\n".join(filter(None, body)) + "\n"


def _class(name: str, node: ast.ClassDef) -> str:
    """Show decorator, bases and public fields of a class."""
    bases = [ast.unparse(base) for base in (*node.bases, *node.keywords)]
    lines = [f"@{ast.unparse(decorator)}" for decorator in node.decorator_list]
    lines.append(f"class {name}({', '.join(bases)}):" if bases else f"class {name}:")
    lines += [_wrapped(text, "    ") for text in _fields(node)]
    return "\n".join(lines)


def _fields(node: ast.ClassDef) -> Iterator[str]:
    for statement in node.body:
        name = target(statement)
        if (
            not name
            or name.startswith("_")
            or not isinstance(statement, ast.Assign | ast.AnnAssign)
        ):
            continue
        value = statement.value
        if isinstance(value, ast.Call) and ast.unparse(value.func).startswith("_"):
            value = None  # how it is made is nobody's business
        annotation = (
            f": {ast.unparse(statement.annotation)}" if isinstance(statement, ast.AnnAssign) else ""
        )
        yield name + annotation + (f" = {ast.unparse(value)}" if value else "")


def _methods(name: str, node: ast.ClassDef) -> Iterator[str]:
    for found in definitions(node.body):
        is_init = found.name == "__init__"
        if found.name.startswith("_") and not is_init:
            continue
        if isinstance(found.node, ast.FunctionDef | ast.AsyncFunctionDef):
            code = _signature(found.name, found.node)
            yield f"#### `{name if is_init else f'{name}.{found.name}'}`"
            yield f"```python\n{code}\n```"
            yield markdown(found.doc)
        elif found.doc:
            yield f"`{found.name}`: {found.doc}"


def _signature(name: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    marks = [ast.unparse(d) for d in node.decorator_list]
    shown = (
        "property",
        "classmethod",
        "staticmethod",
        "abstractmethod",
        "asynccontextmanager",
        "contextmanager",
    )
    lines = [f"@{mark}" for mark in marks if mark in shown]
    keyword = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returns = f"{_JOINT}->{_JOINT}{ast.unparse(node.returns)}" if node.returns else ""
    return "\n".join([*lines, _wrapped(f"{keyword} {name}({ast.unparse(node.args)}){returns}")])


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "    ",
        break_long_words=False,
        break_on_hyphens=False,
    ).replace(_JOINT, " ")


def settings_page() -> str:
    """Return the table of what an operator can set."""
    defaults = {field.name: field.default for field in fields(Settings)}
    rows = [(key.name, key.env, key.flag, str(defaults[key.name]), key.help) for key in all_keys()]
    return f"""{_HEAD}
# Settings of a driver

Sources, weakest first: defaults, the YAML file of `--config`, the environment, flags. An unknown key, or a value that
does not parse, stops the start with exit code 2 and its name. SIGHUP reads them again: `log_level`, `log_format`,
`discover_interval` and `drain_timeout` are taken over, for the others the log says that they need a restart.

{_table(("key in the file", "environment", "flag", "default", "meaning"), rows)}
"""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [" | ".join(head), "|".join("---" for _ in head)]
    for row in rows:
        *code, text = row
        lines.append(" | ".join([*(f"`{cell}`" if cell else "" for cell in code), text]))
    return "\n".join(f"| {line} |" if "---" not in line else f"|{line}|" for line in lines)
