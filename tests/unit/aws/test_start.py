"""`sluice.start`: INIT builds what the first event needs, and a failure of that does not end the function."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.aws.template import ZIPPED

pytestmark = pytest.mark.slow  # seconds together: not in `make test-fast`

ROOT = Path(__file__).parents[3]
LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "f",
    "AWS_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "A",
    "SLUICE_SEARCH_URL": "https://search.example",  # a function of its own, as in the template
}
UNUSED = ("http.server", "botocore", "awscrt")
APP = """
from sluice.once import once

@once
def good(): return "built"

@once
def bad(): raise RuntimeError("no such setting")

def handler(event, context): return [good._built, bad._built]
"""


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder), str(ROOT / "layers" / "core")])
    environment = {**os.environ, **LAMBDA, "AWS_SECRET_ACCESS_KEY": "S", "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd="/", capture_output=True, text=True, timeout=60
    )


def test_what_the_module_names_is_built_and_a_failure_is_left_to_the_first_event(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    done = run("import gc, sluice.start as s; print(s.handler({}, None), gc.isenabled())", tmp_path)
    assert done.stdout == "[['built'], []] True\n", done.stderr
    assert "not built during INIT" in done.stderr


@pytest.mark.parametrize("name", sorted(set(ZIPPED) - {"SearchFunction", "IngestionFunction"}))  # with own packages
def test_every_function_starts_with_stand_ins_for_what_flask_needs_elsewhere(name: str) -> None:
    program = "import sluice.start, sys; assert callable(sluice.start.handler)\n"
    program += f"print([name for name in {UNUSED} if name in sys.modules])"
    done = run(program, ROOT / ZIPPED[name]["CodeUri"])
    assert done.returncode == 0 and "not built" not in done.stderr, done.stderr
    waits = name not in {"MailerFunction", "MeteringFunction", "SweeperFunction", "BouncesFunction", "AdminFunction"}
    assert done.stdout == "[]\n" if waits else "http.server" not in done.stdout


def test_the_web_adapter_waits_for_the_gateways_app_and_not_only_for_its_port() -> None:
    """By default it asks by HTTP, and takes any status below 500 for ready."""
    from functions.gateway.app import create

    variables = ZIPPED["GatewayFunction"]["Environment"]["Variables"]
    assert "AWS_LWA_READINESS_CHECK_PROTOCOL" not in variables
    assert create().test_client().get(variables["AWS_LWA_READINESS_CHECK_PATH"]).status_code == 404
