"""`python -m infra.aws.bytecode FOLDER`: every module of a build compiled, so that no cold start has to.

`sam build` packages sources alone, and Lambda's code folders are read-only, so that each new environment would compile
everything it imports, and throw it away: two thirds of a cold start's CPU (docs/performance.md). Checked by no date, as
zip files keep none to the second. For the functions' own version of Python only: another's is of no use to them.
"""

import compileall
import py_compile
import sys
from pathlib import Path

RUNTIME = (3, 11)  # of template.yaml's functions; a test holds the two together


def compile_build(folder: Path) -> None:
    """In place, for every Python file. Errors: RuntimeError, where Python is another or a file does not compile."""
    if sys.version_info[:2] != RUNTIME:
        raise RuntimeError(f"Python {RUNTIME[0]}.{RUNTIME[1]} is needed, this is {sys.version.split()[0]}")
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(folder, maxlevels=20, quiet=1, force=True, invalidation_mode=mode):
        raise RuntimeError(f"not everything in {folder} compiles")


if __name__ == "__main__":
    compile_build(Path(sys.argv[1]))
