"""What imports compile while they run, compiled at packaging: regular expressions, methods of dataclasses, annotations.

The bytecode of a module holds these as text. A function compiles some thousand of them at each cold start, a quarter of
INIT (docs/adr/0085-what-init-does.md). `infra.aws.compiling` records them into a file; a text that the file lacks is
compiled as ever, and so is everything where there is no file, or one of another Python.
"""

import _sre  # type: ignore[import-not-found]  # the part of `re` that is written in C
import collections
import dataclasses
import marshal
import re
import typing
from collections.abc import Callable
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import CodeType
from typing import Any

FILE = Path(__file__).with_suffix(".marshal")
PYTHON = (MAGIC_NUMBER, _sre.MAGIC)
# By the text and what else decides: an expression's flags, or the mode of `compile`. The value is marshalled, so that
# only what is used is loaded: of an expression, the arguments of `_sre.compile`.
known: dict[tuple[str | bytes, int | str], bytes] = {}


def use() -> None:
    """Before the imports that are to be faster. Without a whole record of this Python it does nothing."""
    try:
        python, recorded = marshal.loads(FILE.read_bytes())
    except (OSError, EOFError, ValueError, TypeError):
        return
    if python == PYTHON:
        known.update(recorded)
        install(_code, _expression)


def install(code: Callable[..., CodeType], expression: Callable[..., re.Pattern[Any]]) -> None:
    """A module's global takes precedence over the builtin of its name."""
    vars(dataclasses)["exec"] = lambda source, *spaces: exec(code(source, "<string>", "exec"), *spaces)
    vars(collections)["eval"] = lambda source, *spaces: eval(code(source, "<string>", "eval"), *spaces)
    vars(typing)["compile"] = code
    vars(re)["_compiler"].compile = expression


def _code(source: Any, name: str, mode: str) -> CodeType:
    found = known.get((source, mode)) if isinstance(source, str) else None
    return marshal.loads(found) if found else compile(source, name, mode)


_compile = vars(re)["_compiler"].compile


def _expression(pattern: Any, flags: int = 0) -> re.Pattern[Any]:
    found = known.get((pattern, int(flags))) if isinstance(pattern, str | bytes) else None
    made: re.Pattern[Any] = _sre.compile(*marshal.loads(found)) if found else _compile(pattern, flags)
    return made
