"""A module of somebody else, read without running any of it: not it, not the packages above it."""

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

from holdfast import files

_MOST_BYTES = 1 << 20
_TYPES = {"int": int, "str": str, "float": float, "bool": bool, "dict": dict, "list": list}

type Taken = tuple[Signature, Mapping[str, Any]]


def read(name: str) -> Mapping[str, Taken]:
    """The signature of each function that a module defines and names in its `__all__`.

    Raises:
        ValueError: it is not there, has no source, or its source cannot be understood.
    """
    if name.partition(".")[0] in sys.stdlib_module_names:
        raise ValueError("it belongs to Python itself, and could run anything")
    path = _source(name)
    try:
        tree = ast.parse(files.read(path, _MOST_BYTES))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{path} is no Python that can be read: {error}") from None
    exported = _exported(tree)
    defined = {one.name: one for one in tree.body if isinstance(one, ast.FunctionDef)}
    return {one: _taken(defined[one].args) for one in exported if one in defined}


def _source(name: str) -> Path:
    """Where the module's source lies. Each part of its name is looked for in the part above."""
    where: Sequence[str] | None = None
    parts = name.split(".")
    for number in range(1, len(parts) + 1):
        whole = ".".join(parts[:number])
        spec = _spec(whole, where)
        if spec is None:
            raise ValueError(f"there is no {whole}")
        if number == len(parts):
            break
        try:
            where = [*(spec.submodule_search_locations or ())]
        except KeyError:  # a package without __init__.py inside another such
            raise ValueError(f"{whole} needs an __init__.py to be found") from None
        if not where:
            raise ValueError(f"{whole} is no package")
    if not spec or not spec.has_location or not (spec.origin or "").endswith(".py"):
        raise ValueError("it has no source that could be checked")
    return Path(str(spec.origin))


def _spec(name: str, where: Sequence[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        spec = finder.find_spec(name, where) if hasattr(finder, "find_spec") else None
        if spec is not None:
            return spec
    return None


def _exported(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if not any(isinstance(one, ast.Name) and one.id == "__all__" for one in _assigned(node)):
            continue
        try:
            names = ast.literal_eval(node.value)  # type: ignore[attr-defined]  # it is an assignment
        except (ValueError, TypeError):
            names = None
        if not isinstance(names, list | tuple) or not all(isinstance(one, str) for one in names):
            raise ValueError("its `__all__` is not a plain list of names")
        return [*names]
    return []


def _assigned(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign | ast.AugAssign) and node.value else []


def _taken(arguments: ast.arguments) -> Taken:
    parameters = [*_parameters(arguments)]
    types = {
        one.arg: _type(one.annotation)
        for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    }
    return Signature(parameters), types


def _parameters(arguments: ast.arguments) -> Iterator[Parameter]:
    """As Python lists them: `/` after the first, `*` before those that only have a name."""
    plain = [*arguments.posonlyargs, *arguments.args]
    without = len(plain) - len(arguments.defaults)
    for number, one in enumerate(plain):
        first = number < len(arguments.posonlyargs)
        kind = Parameter.POSITIONAL_ONLY if first else Parameter.POSITIONAL_OR_KEYWORD
        yield Parameter(one.arg, kind, default=Parameter.empty if number < without else None)
    if arguments.vararg:
        yield Parameter(arguments.vararg.arg, Parameter.VAR_POSITIONAL)
    for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        given = Parameter.empty if default is None else None
        yield Parameter(one.arg, Parameter.KEYWORD_ONLY, default=given)
    if arguments.kwarg:
        yield Parameter(arguments.kwarg.arg, Parameter.VAR_KEYWORD)


def _type(annotation: ast.expr | None) -> Any:
    """The plain type that an annotation names, alone or with others; else anything."""
    if isinstance(annotation, ast.Constant) and annotation.value is None:
        return None
    if isinstance(annotation, ast.Name):
        return _TYPES.get(annotation.id, Any)
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        left, right = _type(annotation.left), _type(annotation.right)
        return Any if Any in (left, right) else left | right
    return Any
