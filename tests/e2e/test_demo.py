"""`make demo` and `sluice doctor` against a running system."""

import subprocess
import sys

import pytest

from tests.e2e.conftest import NewSystem
from tests.e2e.system import ROOT, System

pytestmark = [pytest.mark.slow, pytest.mark.one_machine("the commands for it")]


def sluice(system: System, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", "from infra.cli import main; main(prog_name='sluice')", *arguments]
    return subprocess.run(command, cwd=ROOT, env=system.environment, capture_output=True, text=True, timeout=120)


def test_demo_walks_the_whole_path(system: System) -> None:
    done = sluice(system, "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    for text in ("signs up", "/verify-email", "logs in", "Paris", "[DONE]", "streamed", "plain", "401 invalid_api_key"):
        assert text in done.stdout


def test_demo_without_a_system_says_so(new_system: NewSystem) -> None:
    done = sluice(new_system(), "demo")
    assert done.returncode == 1
    assert "Is `make up` running?" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_finds_nothing_wrong_beside_a_running_system(system: System) -> None:
    done = sluice(system, "doctor")
    assert done.returncode == 0, done.stdout
    assert "Nothing is wrong." in done.stdout
    assert f"Sluice runs on {system.data_dir}" in done.stdout


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("PORT", "eighty", "PORT has to be a number"),
        ("SLUICE_MODEL", "/nowhere/model.gguf", "The model file /nowhere/model.gguf"),
        (
            "SLUICE_MAIL",
            "smtp://user:hunter2@127.0.0.1:9",
            "The mail server (SLUICE_MAIL) at 127.0.0.1:9 cannot be reached",
        ),
        ("SLUICE_DEFAULT_TPM", "-5", "SLUICE_DEFAULT_TPM"),
        ("SLUICE_HOST", "0.0.0.0", "everyone's mails"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9", "The store (AWS_ENDPOINT_URL) at 127.0.0.1:9 cannot be reached"),
    ],
)
def test_doctor_names_what_is_wrong_and_shows_no_secret(
    new_system: NewSystem, name: str, value: str, text: str
) -> None:
    done = sluice(new_system(env={name: value}), "doctor")
    assert done.returncode == 1
    assert text in done.stdout
    assert "hunter2" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_sees_keys_that_others_may_read(new_system: NewSystem) -> None:
    system = new_system()
    keys = system.data_dir / "keys"
    keys.mkdir(parents=True)
    (keys / "token-signing.pem").touch(mode=0o644)
    system.data_dir.chmod(0o700)
    done = sluice(system, "doctor")
    assert done.returncode == 1
    assert "Other users of this machine may look into" in done.stdout
