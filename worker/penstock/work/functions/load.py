"""From `package.module:function` to the function, with what can be said of it before it is called.

Raises InputError at the manifest's field. What the module prints or breaks while it is imported is
the user's; the plan step imports it in a process of its own (check.py).
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.errors import InputError
from penstock.spec.processor import PythonMode
from penstock.spec.suggest import did_you_mean
from penstock.work.functions.frames import told

WHERE = "spec.processor.python"
CODE = "PENSTOCK_CODE"
"""The folder or zip file that `codeFrom` is mounted as."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the user's. is_async: its calls are awaited. takes_context: after the item."""

    call: Callable[..., Any]
    is_async: bool
    takes_context: bool


def roots() -> list[str]:
    """Where the user's modules are: what `codeFrom` brought, then the working directory."""
    code = os.environ.get(CODE)
    return [*([code] if code else []), str(Path.cwd())]


def open_path() -> None:
    """Let the user's modules be found before those that are installed."""
    for root in reversed(roots()):
        if root not in sys.path:
            sys.path.insert(0, root)


def load(entrypoint: str, kwargs: Mapping[str, Any], field: str = "entrypoint") -> Function:
    """The function of an entrypoint, fit to be called with an item. Raises InputError."""
    call = find(entrypoint, field)
    where = f"{WHERE}.{field}"
    if inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call):
        raise InputError.at(where, f"{entrypoint} yields; a function returns what it has: a list")
    is_async = _is_async(call)
    try:
        signature = inspect.signature(call)
    except (TypeError, ValueError):  # of a function in C nothing is known
        return Function(call, is_async, False)
    positional = [
        one
        for one in signature.parameters.values()
        if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    second = positional[1] if len(positional) > 1 and positional[1].name not in kwargs else None
    takes_context = second is not None and (second.name == "ctx" or second.default is second.empty)
    try:
        signature.bind(None, *([None] if takes_context else []), **kwargs)
    except TypeError as error:
        wanted = "def f(item), async def f(item) or async def f(item, ctx), and `kwargs` by name"
        message = f"{entrypoint}{signature} cannot be called: {error}; wanted {wanted}"
        raise InputError.at(where if not kwargs else f"{WHERE}.kwargs", message) from error
    return Function(call, is_async, takes_context)


def fit(function: Function, entrypoint: str, mode: PythonMode) -> None:
    """Whether a function can run in this mode. Raises InputError."""
    if function.takes_context and not (function.is_async and mode == "async"):
        message = f"{entrypoint} takes ctx, which only an async function in mode async gets"
        raise InputError.at(f"{WHERE}.entrypoint", message)
    if function.is_async and mode == "thread":
        message = "is thread, but the function is async: leave mode away, or write def"
        raise InputError.at(f"{WHERE}.mode", message)


def home(entrypoint: str) -> str:
    """The package, or else the module, that a function comes from; the user's also if installed."""
    top = sys.modules[entrypoint.partition(":")[0].partition(".")[0]]
    file = Path(top.__file__ or "nowhere")
    return str(file.parent if hasattr(top, "__path__") else file)


def initializer(entrypoint: str) -> Callable[[], Any]:
    """The function that is called once before the first item. Raises InputError."""
    call = find(entrypoint, "initializer")
    with contextlib.suppress(ValueError):  # of a function in C nothing is known
        try:
            inspect.signature(call).bind()
        except TypeError as error:
            message = f"{entrypoint} is called without arguments: {error}"
            raise InputError.at(f"{WHERE}.initializer", message) from error
    return call


def find(entrypoint: str, field: str) -> Callable[..., Any]:
    """What stands behind an entrypoint. Raises InputError when that cannot be called."""
    where = f"{WHERE}.{field}"
    module_name, _, name = entrypoint.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name == missing or module_name.startswith(f"{missing}."):
            looked = " and ".join(roots())
            message = f"there is no module {missing} in {looked}, nor is one installed"
            raise InputError.at(where, message + did_you_mean(missing, _modules())) from error
        message = f"{module_name} needs the module {missing}, which is not installed"
        raise InputError.at(where, f"{message}\n{told(error, roots())}") from error
    except (Exception, SystemExit) as error:
        message = f"{module_name} cannot be imported: {type(error).__name__}: {error}"
        raise InputError.at(where, f"{message}\n{told(error, roots())}".strip()) from error
    found = getattr(module, name, None)
    if found is None:
        names = [one for one, value in vars(module).items() if inspect.isroutine(value)]
        message = f"there is no {name} in {module_name}{did_you_mean(name, names)}"
        raise InputError.at(where, message)
    if not callable(found):
        message = f"{entrypoint} is no function, it is of type {type(found).__name__}"
        raise InputError.at(where, message)
    return found  # type: ignore[no-any-return]


def _is_async(call: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(
        getattr(call, "__call__", None)  # noqa: B004 - it is asked for what it is, not whether
    )


def _modules() -> list[str]:
    return [path.stem for root in roots() for path in Path(root).glob("*.py")]
