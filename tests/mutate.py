"""Mutation testing by mutmut, in a copy below `build/`: `make mutate AREA=schema SAMPLE=300 SEED=1`.

mutmut knows a mutant by its file's path and its tests by their imports, so in the copy the layer stands at the root.
The wording of messages and of log lines is not mutated. What has survived: `mutmut show NAME`, in the copy.
"""

import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mutmut.stats import status_by_exit_code

ROOT = Path(__file__).parents[1]
COPY = ROOT / "build" / "mutation"
AREAS = {  # the modules, and the tests that have to notice: those marked slow are left out
    "admission": (
        "sluice/domain/gateway/admission sluice/domain/gateway/buckets sluice/domain/gateway/leases "
        "sluice/domain/gateway/grants sluice/adapters/gateway/grant* sluice/services/gateway/admit",
        "unit/gateway unit/tokens integration/gateway/admission integration/gateway/test_refusals.py "
        "integration/tokens integration/operations/test_users.py integration/accounts/test_quota_of_address.py",
    ),
    "settlement": (
        "sluice/services/gateway/settle sluice/services/gateway/sweep sluice/domain/usage/pricing "
        "sluice/domain/usage/ledger sluice/adapters/usage/ledger sluice/adapters/gateway/hot_store",
        "unit/gateway unit/usage integration/gateway/admission/test_leases.py integration/gateway/test_gateway.py "
        "integration/gateway/test_stored_responses.py integration/usage",
    ),
    "authentication": (
        "sluice/adapters/tokens/*tokens sluice/domain/tokens sluice/services/tokens sluice/*/accounts/sessions "
        "sluice/http/auth sluice/http/gateway/bearer",
        "unit/tokens integration/tokens integration/accounts/test_sessions.py integration/accounts/test_login.py "
        "integration/accounts/test_bounds.py integration/pages/test_security.py integration/gateway/test_gateway.py",
    ),
    "schema": ("functions/inference/grammar/*", "unit/inference/test_schema.py"),
}
CONFIGURATION = r"""[mutmut]
source_paths =
 sluice
 functions
only_mutate = {only}
also_copy =
 docs
 infra
 template.yaml
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args =
 -m
 not slow
 -p
 no:cacheprovider
do_not_mutate_patterns =
 (refused|[Ee]rror\w*|errors\.\w+|Invalid\w+|NotFound|Conflict|log\.\w+)\(.*"[^"]*\x20
 ^\s*f?"[A-Z][a-z].*\x20
 ^\s*why = f?"
process_isolation = forkserver
track_dependencies = False
use_git_change_detection = False
"""


def copied(area: str) -> Path:
    copy = COPY / area
    shutil.rmtree(copy, ignore_errors=True)
    for name in ("functions", "infra", "tests", "docs", "layers/core/sluice"):
        shutil.copytree(ROOT / name, copy / Path(name).name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "template.yaml"):
        shutil.copy2(ROOT / name, copy)
    (copy / "mutants" / "layers" / "core").mkdir(parents=True)
    (copy / "mutants" / "conftest.py").write_text(
        "import sys\nsys.setrecursionlimit(10_000)  # mutmut adds two calls to each\n"
    )
    (copy / "mutants/layers/core/sluice").symlink_to(copy / "mutants" / "sluice")
    for name in (".tools", ".venv", "model"):
        (copy / "mutants" / name).symlink_to(ROOT / name)
    modules, tests = AREAS[area]
    only = "".join(f"\n {module}.py" for module in modules.split())
    configuration = CONFIGURATION.format(only=only, tests="".join(f"\n tests/{test}" for test in tests.split()))
    (copy / "setup.cfg").write_text(configuration)
    return copy


def results(copy: Path) -> Iterator[tuple[str, int | None]]:
    """Each mutant's name, with the exit code of its tests."""
    for meta in sorted((copy / "mutants").rglob("*.py.meta")):
        yield from sorted(json.loads(meta.read_text())["exit_code_by_key"].items())


def main(area: str, sample: int, seed: int) -> None:
    copy = copied(area)
    command = [sys.executable, "-c", "from mutmut.__main__ import cli; cli()", "run", "--max-children", "1"]
    # It makes the mutants and finds each one's tests, before it says that none has this name.
    subprocess.run([*command, "none"], cwd=copy, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    names = [name for name, _ in results(copy)]
    chosen = random.Random(seed).sample(names, min(sample, len(names)))
    subprocess.run([*command, *chosen], cwd=copy, check=True)
    found = {name: status_by_exit_code[code] for name, code in results(copy) if name in set(chosen)}
    print(f"{area}: {len(chosen)} of {len(names)} mutants (seed {seed}): {dict(Counter(found.values()))}")
    print(*(f"{status}: {name}" for name, status in found.items() if status != "killed"), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
