"""Find what a package calls public, and where it is written; `pages` prints it.

Names are followed through `from ... import` to the module that defines them.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

Definition: TypeAlias = (
    ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Assign | ast.AnnAssign
)
"""What a public name may stand for."""


class UnknownNameError(Exception):
    """A public name nobody defines; the message says which and where it was looked for."""


@dataclass(frozen=True)
class Found:
    """One public name: its definition, and the string after it where that is an assignment."""

    name: str
    node: Definition
    doc: str


@dataclass(frozen=True)
class Module:
    """One source file."""

    name: str
    tree: ast.Module

    @property
    def doc(self) -> str:
        return ast.get_docstring(self.tree) or ""

    def public(self) -> list[str]:
        """Return `__all__`, or without one the names defined here that begin with no underscore."""
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and target(node) == "__all__":
                return [str(name) for name in ast.literal_eval(node.value)]
        return [found.name for found in definitions(self.tree.body) if _is_public(found)]


class Sources:
    """The modules below some `src` folders."""

    def __init__(self, *folders: Path) -> None:
        self._folders = folders

    @cache  # noqa: B019 - one object, as long as the program
    def module(self, name: str) -> Module:
        """Read a module.

        Raises:
            UnknownNameError: there is none of that name.
        """
        path = name.replace(".", "/")
        for folder in self._folders:
            for file in (folder / f"{path}.py", folder / path / "__init__.py"):
                if file.is_file():
                    return Module(name, ast.parse(file.read_text(encoding="utf-8")))
        raise UnknownNameError(f"module {name}: not found")

    def modules(self, package: str) -> list[str]:
        """Return the names of a package's modules, sorted."""
        return sorted(
            file.stem for folder in self._folders for file in (folder / package).glob("*.py")
        )

    def find(self, module: str, name: str) -> Found:
        """Find what `name` of `module` stands for, also through imports.

        Raises:
            UnknownNameError: it is neither defined nor imported there.
        """
        tree = self.module(module).tree
        for found in definitions(tree.body):
            if found.name == name:
                return found
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        return self.find(node.module, alias.name)
        raise UnknownNameError(f"name {name}: neither defined nor imported in {module}")


def definitions(body: list[ast.stmt]) -> Iterator[Found]:
    """Yield the definitions of a module or class, each with its docstring."""
    for node, following in zip(body, [*body[1:], ast.Pass()], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield Found(node.name, node, ast.get_docstring(node) or "")
        elif (name := target(node)) and isinstance(node, ast.Assign | ast.AnnAssign):
            yield Found(name, node, _text(following))


def _is_public(found: Found) -> bool:
    value = found.node.value if isinstance(found.node, ast.Assign) else None
    is_type_variable = isinstance(value, ast.Call) and ast.unparse(value.func) == "TypeVar"
    return not found.name.startswith("_") and not is_type_variable


def target(node: ast.stmt) -> str:
    """Return the one name a statement assigns to, or nothing."""
    if isinstance(node, ast.AnnAssign):
        targets: list[ast.expr] = [node.target]
    else:
        targets = node.targets if isinstance(node, ast.Assign) else []
    return targets[0].id if len(targets) == 1 and isinstance(targets[0], ast.Name) else ""


def _text(node: ast.stmt) -> str:
    value = node.value if isinstance(node, ast.Expr) else None
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return " ".join(value.value.split())
    return ""
