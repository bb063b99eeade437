"""`python -m infra.aws.bytecode FOLDER`: compiles every module of a build.

`sam build` packages sources only, and Lambda's code folders are read-only. So each new environment would compile every
import: two thirds of a cold start's CPU (docs/performance.md). The bytecode is not checked against file times, because
zip files store them inexactly. It must be compiled by the functions' version of Python.
"""

import compileall
import py_compile
import sys
from pathlib import Path

RUNTIME = (3, 11)  # of template.yaml's functions; a test compares them


def compile_build(folder: Path) -> None:
    """Compile every Python file in place. Raises RuntimeError for another Python version, or a file that fails."""
    if sys.version_info[:2] != RUNTIME:
        raise RuntimeError(f"Python {RUNTIME[0]}.{RUNTIME[1]} is needed, this is {sys.version.split()[0]}")
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(folder, maxlevels=20, quiet=1, force=True, invalidation_mode=mode):
        raise RuntimeError(f"not every file in {folder} compiles; see the errors above")


if __name__ == "__main__":
    compile_build(Path(sys.argv[1]))
