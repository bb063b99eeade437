"""A build has bytecode for every module, and Python uses it whatever the date of the source is."""

import subprocess
from pathlib import Path

import pytest

from infra.aws import bytecode
from tests.aws.runtime.variables import template

PYTHON = bytecode.interpreter()
only_there = pytest.mark.skipif(PYTHON is None, reason=f"needs {bytecode.NAME}, the functions' version of Python")


def test_bytecode_is_for_the_functions_python_version() -> None:
    wanted = "python" + ".".join(map(str, bytecode.RUNTIME))
    own = [one["Properties"].get("Runtime", wanted) for one in template()["Resources"].values() if "Properties" in one]
    assert {template()["Globals"]["Function"]["Runtime"], *own} == {wanted}


@only_there
def test_a_module_is_taken_from_its_bytecode_whatever_its_date(tmp_path: Path) -> None:
    module = tmp_path / "one.py"
    module.write_text("print('as compiled')\n")
    bytecode.compile_build(tmp_path)
    module.write_text("print('as changed, and much longer')\n")  # as after a zip, which loses the date
    told = subprocess.run([PYTHON or "", "-S", "-c", "import one"], cwd=tmp_path, capture_output=True, text=True)
    assert (told.stdout, told.stderr) == ("as compiled\n", "")
    tag = bytecode.NAME.replace("python", "cpython-").replace(".", "")
    assert (tmp_path / "__pycache__" / f"one.{tag}.pyc").is_file()


@only_there
def test_a_file_that_does_not_compile_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.py").write_text("def\n")
    with pytest.raises(RuntimeError, match="compiles"):
        bytecode.compile_build(tmp_path)


def test_without_such_a_python_nothing_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bytecode, "interpreter", lambda: None)
    with pytest.raises(RuntimeError, match="is needed"):
        bytecode.compile_build(tmp_path)


def test_a_version_managers_shim_that_only_prints_an_error_is_no_python(tmp_path: Path) -> None:
    shim = tmp_path / bytecode.NAME
    shim.write_text("#!/bin/sh\necho not installed >&2\nexit 127\n")
    shim.chmod(0o755)
    assert not bytecode._is_runtime(str(shim)) and not bytecode._is_runtime(str(tmp_path / "nothing"))
