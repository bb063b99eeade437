"""What imports compile while they run is recorded at packaging, and taken from the record afterwards."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import MAGIC_NUMBER, find_spec
from pathlib import Path

import pytest

from infra.aws import bytecode, compiling

ROOT = Path(__file__).parents[3]
PACKAGES = Path(find_spec("_cffi_backend").origin or "").parent  # type: ignore[union-attr]
MODULE = """
import re
from collections import namedtuple
from dataclasses import dataclass
from typing import ForwardRef

WORD = re.compile(r"(?P<first>[a-zé]+)-(\\d{2,4}?)+", re.I)
RAW = re.compile(rb"[^\\x00-\\x7f]|(?<=a)b")
NEVER = ForwardRef("list[int]")
Pair = namedtuple("Pair", "left right")

@dataclass(frozen=True, order=True)
class Point:
    x: int
    y: int = 2
"""
# Compiles nothing itself: `compile` counts, and so does the compiler of expressions.
PROGRAM = """
import builtins, json, re, sys
sys.path[:0] = [{layer!r}]
from sluice import compiled
compiled.use()
counted = []
def counting(build):
    return lambda *given, **named: counted.append(str(given[0])) or build(*given, **named)
compiled._compile, compiled.compile = counting(compiled._compile), counting(compile)
from sluice import module as m
match = m.WORD.search("see ÉTÉ-20261")
p = m.Point(1)
said = [match["first"], match.groups(), m.WORD.flags, m.WORD.groupindex["first"], m.RAW.findall(b"ab\\xffb").__repr__()]
said += [repr(p), p < m.Point(1, 3), hash(p) == hash(m.Point(1, 2)), m.Pair(1, 2).right]
said += [m.NEVER.__forward_code__.co_filename]
print(json.dumps([len(counted), said]))
"""


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    package = tmp_path / "sluice"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "module.py").write_text(MODULE)
    (package / "other.py").write_text("def rarely():\n    from sluice import module\n    import sluice.module\n")
    shutil.copy(ROOT / "layers" / "core" / "sluice" / "compiled.py", package)
    return tmp_path


def record(layer: Path, packages: Path = PACKAGES) -> int:
    words = [sys.executable, "-I", "-B", str(ROOT / "infra" / "aws" / "compiling.py"), str(layer), str(packages)]
    return subprocess.run(words, capture_output=True, timeout=60).returncode


def imported(layer: Path) -> tuple[int, list[object]]:
    """How many texts the module compiled, and how what it defines behaves."""
    words = [sys.executable, "-I", "-B", "-c", PROGRAM.format(layer=str(layer))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    count, said = json.loads(done.stdout)
    return count, said


def test_a_recorded_module_compiles_nothing_and_means_the_same(layer: Path) -> None:
    _, plain = imported(layer)
    assert record(layer) == 0
    assert imported(layer) == (0, plain)


def test_a_text_that_the_record_lacks_is_compiled(layer: Path) -> None:
    assert record(layer) == 0
    changed = (layer / "sluice" / "module.py").read_text().replace("{2,4}", "{2,5}").replace("y: int = 2", "y: int = 3")
    (layer / "sluice" / "module.py").write_text(changed)
    count, said = imported(layer)
    assert count >= 1 and said[5] == "Point(x=1, y=3)"


@pytest.mark.parametrize("share", [0, 0.001, 0.5])
def test_a_record_that_was_written_half_is_ignored(layer: Path, share: float) -> None:
    _, plain = imported(layer)
    record(layer)
    file = layer / "sluice" / "compiled.marshal"
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    assert imported(layer)[1] == plain


def test_a_record_of_another_python_is_ignored(layer: Path) -> None:
    _, plain = imported(layer)
    record(layer)
    file = layer / "sluice" / "compiled.marshal"
    assert MAGIC_NUMBER in file.read_bytes()
    file.write_bytes(file.read_bytes().replace(MAGIC_NUMBER, b"\x00\x00\r\n", 1))
    assert imported(layer)[1] == plain


def test_packages_of_another_processor_are_told_from_ours(layer: Path, tmp_path: Path) -> None:
    packages = tmp_path / "foreign"
    packages.mkdir()
    (packages / "_cffi_backend.py").write_text("raise ImportError('invalid ELF header')")
    assert record(layer, packages) != 0 and not (layer / "sluice" / "compiled.marshal").exists()


def test_what_is_imported_anywhere_is_recorded(layer: Path) -> None:
    assert {"sluice.module", "re", "typing"} <= compiling._named(layer / "sluice")


@pytest.mark.skipif(bytecode.interpreter() is None, reason=f"needs {bytecode.NAME}, the functions' version of Python")
def test_a_build_that_cannot_be_recorded_is_told(layer: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its packages are missing, and pip can reach no index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    build = tmp_path / "build" / bytecode.LAYER
    shutil.copytree(layer / "sluice", build / "sluice")
    assert bytecode.compile_build(tmp_path / "build") is False
    assert os.listdir(build) == ["sluice"] and not (build / "sluice" / "compiled.marshal").exists()
