"""Records what a build's imports compile while they run, for `sluice.compiled`. Run by the functions' Python alone.

    python3.13 -I -B infra/aws/compiling.py LAYER [PACKAGES]

The record depends on the version of Python and on the packages' texts, not on the processor.
"""

import ast
import importlib
import marshal
import re
import sys
from pathlib import Path
from types import CodeType
from typing import Any


class Recorder:
    """Compiles as Python does. Meanwhile it stands for `_sre` in the compiler of expressions, to see its arguments."""

    def __init__(self, compiler: Any) -> None:
        self.recorded: dict[tuple[str | bytes, int | str], bytes] = {}
        self._compiler, self._sre, self._compile_expression = compiler, compiler._sre, compiler.compile
        self._arguments: tuple[Any, ...] = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sre, name)

    def compile(self, *arguments: Any) -> re.Pattern[Any]:
        self._arguments = arguments
        made: re.Pattern[Any] = self._sre.compile(*arguments)
        return made

    def code(self, source: Any, name: str, mode: str) -> CodeType:
        made: CodeType = compile(source, name, mode)
        if isinstance(source, str):
            self.recorded[source, mode] = marshal.dumps(made)
        return made

    def expression(self, pattern: Any, flags: int = 0) -> re.Pattern[Any]:
        self._compiler._sre = self
        try:
            made: re.Pattern[Any] = self._compile_expression(pattern, flags)
        finally:
            self._compiler._sre = self._sre
        text, bits, codes, *rest = self._arguments
        if isinstance(pattern, str | bytes) and not made.flags & re.LOCALE:
            codes = [int(each) for each in codes]  # named constants cannot be marshalled
            self.recorded[pattern, int(flags)] = marshal.dumps((text, int(bits), codes, *rest))
        return made


def record(layer: Path, packages: Path) -> None:
    """Imports all that `sluice` imports anywhere, and writes what that compiled beside it.

    Modules that the layer lacks, as those of one machine, are left out. Errors: ImportError, if the packages are for
    another processor or version of Python.
    """
    sys.path[:0] = [str(packages), str(layer)]
    from sluice import compiled

    importlib.import_module("_cffi_backend")
    recorder = Recorder(vars(re)["_compiler"])
    compiled.install(recorder.code, recorder.expression)
    for name in sorted(_named(layer / "sluice")):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    compiled.FILE.write_bytes(marshal.dumps((compiled.PYTHON, recorder.recorded)))


def _named(package: Path) -> set[str]:
    """Every module that the package's modules import, also later than at their heads."""
    found = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module}
    return found


if __name__ == "__main__":
    record(Path(sys.argv[1]), Path(sys.argv[-1]))
