"""A build has bytecode for every module, and Python uses it whatever the date of the source is."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from infra.aws import bytecode
from tests.aws.runtime.variables import template

HERE_IS_THE_RUNTIME = sys.version_info[:2] == bytecode.RUNTIME
only_there = pytest.mark.skipif(not HERE_IS_THE_RUNTIME, reason="needs the functions' version of Python")


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
    told = subprocess.run([sys.executable, "-S", "-c", "import one"], cwd=tmp_path, capture_output=True, text=True)
    assert (told.stdout, told.stderr) == ("as compiled\n", "")
    assert Path(importlib.util.cache_from_source(str(module))).is_file()


@only_there
def test_a_file_that_does_not_compile_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.py").write_text("def\n")
    with pytest.raises(RuntimeError, match="compiles"):
        bytecode.compile_build(tmp_path)


def test_another_python_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bytecode, "RUNTIME", (2, 7))
    with pytest.raises(RuntimeError, match=r"2\.7 is needed"):
        bytecode.compile_build(tmp_path)
