"""`sluice service` without a systemd that runs: its unit, what it refuses, and that nothing of an owner's is lost."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import gettempdir

import pytest
from click.testing import CliRunner, Result

from infra import place
from infra.cli import main
from infra.local import config
from infra.local.notify import VARIABLE, Notify
from infra.service import reach, steps, unit

PROGRAM = Path("/opt/sluice-gateway/bin/sluice")
MOST_EXPOSED = 3.0
needs_analyze = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")


def service(*words: str) -> Result:
    return CliRunner().invoke(main, ["service", *words])


@pytest.fixture
def printed(tmp_path: Path) -> Path:
    file = tmp_path / unit.NAME
    file.write_text(service("install", "--print").stdout)
    return file


@needs_analyze
def test_systemd_finds_nothing_wrong_with_the_unit(printed: Path) -> None:
    done = subprocess.run(["systemd-analyze", "verify", printed], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_analyze
def test_systemd_judges_the_exposure_as_small(printed: Path) -> None:
    words = ["systemd-analyze", "security", "--offline=true", "--no-pager", printed]
    judged = subprocess.run(words, capture_output=True, text=True).stdout
    found = re.search(r"Overall exposure level for sluice.service: ([\d.]+)", judged)
    assert found and float(found[1]) < MOST_EXPOSED, judged


def test_the_unit_waits_for_an_orderly_stop_and_leaves_the_start_its_time() -> None:
    from infra.local.launcher import STOP_PATIENCE_SECONDS

    text = unit.text(PROGRAM)
    stop = re.search(r"^TimeoutStopSec=(\d+)$", text, re.M)
    assert stop and int(stop[1]) > STOP_PATIENCE_SECONDS and "TimeoutStartSec=infinity" in text
    assert f"ExecStart={PROGRAM} up\n" in text and "Type=notify\n" in text


def test_a_unit_is_ours_until_somebody_changes_it() -> None:
    text = unit.text(PROGRAM)
    assert unit.is_ours(text)
    assert not unit.is_ours(text.replace("RestartSec=10", "RestartSec=1"))
    assert not unit.is_ours(text + "\n") and not unit.is_ours("") and not unit.is_ours("[Unit]\n")


@pytest.mark.parametrize("path", ["/opt/a b/sluice", "/opt/100%/sluice", "/opt/a$b/sluice", "/opt/a\nUser=root/sluice"])
def test_a_path_that_systemd_would_read_otherwise_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="characters that a unit cannot have"):
        unit.text(Path(path))


def test_an_installation_that_the_service_cannot_read_is_named(tmp_path: Path) -> None:
    assert "is in /tmp, which the service does not see" in reach.why_not([Path("/tmp")])
    assert "is in /root" in reach.why_not([Path("/root/.local/share/uv/tools/sluice-gateway/bin/sluice")])
    assert reach.why_not([Path("/usr/bin")]) == ""


def test_a_folder_or_a_link_that_others_may_not_follow_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "HIDDEN", ())
    for folder in (tmp_path, *tmp_path.parents):
        if Path(gettempdir()) in folder.parents:  # pytest's own, one more with xdist
            folder.chmod(0o755)
    program = tmp_path / "closed" / "sluice"
    program.parent.mkdir(mode=0o700)
    program.write_text("")
    (tmp_path / "link").symlink_to(program)
    assert f"{program.parent} may not be read by other users" in reach.why_not([tmp_path / "link"])
    program.parent.chmod(0o755)
    program.chmod(0o640)
    assert f"{program} may not be read" in reach.why_not([program])
    program.chmod(0o644)
    assert reach.why_not([tmp_path / "link"]) == ""


def test_without_systemd_and_without_root_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(steps, "BOOTED", tmp_path / "absent")
    for words in (("install",), ("uninstall",)):
        done = service(*words)
        assert done.exit_code == 1 and "systemd does not run on this machine" in done.stderr
    monkeypatch.setattr(steps, "BOOTED", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    done = service("install")
    assert done.exit_code == 1 and f"this needs root: sudo {place.PROGRAM} service install" in done.stderr


def test_an_edited_unit_is_refused_before_anything_is_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / unit.NAME
    file.write_text("[Service]\nExecStart=/bin/mine\n")
    monkeypatch.setattr(steps, "FILE", file)
    monkeypatch.setattr(steps, "BOOTED", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(steps, "_run", lambda *words: pytest.fail(f"{words} was run"))
    done = service("install")
    assert done.exit_code == 1 and "was changed by hand, so it stays" in done.stderr
    assert file.read_text() == "[Service]\nExecStart=/bin/mine\n"


def test_uninstall_keeps_an_edited_unit_under_another_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran: list[tuple[str, ...]] = []
    file = tmp_path / unit.NAME
    file.write_text("[Service]\nExecStart=/bin/mine\n")
    monkeypatch.setattr(steps, "FILE", file)
    monkeypatch.setattr(steps, "_run", lambda *words: ran.append(words) or "")
    said = "\n".join(steps.uninstall())
    assert not file.exists() and (tmp_path / "sluice.service.kept").read_text().endswith("/bin/mine\n")
    assert ("systemctl", "disable", "--now", "--quiet", unit.NAME) in ran and str(unit.DATA) in said


def test_without_systemctl_the_status_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = service("status")
    assert done.exit_code == 3 and "systemctl cannot be run" in done.stderr


# --- readiness


@pytest.mark.parametrize("is_abstract", [False, True])
def test_the_manager_gets_one_datagram_and_children_do_not_hear_of_it(tmp_path: Path, is_abstract: bool) -> None:
    name = f"@sluice-test-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    if is_abstract and sys.platform != "linux":
        pytest.skip("only Linux has abstract sockets")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))
        env = {VARIABLE: name, "OTHER": "1"}
        Notify(env)("READY=1", "STATUS=ready")
        assert manager.recv(100) == b"READY=1\nSTATUS=ready" and env == {"OTHER": "1"}


def test_a_manager_that_is_away_ends_nothing(tmp_path: Path) -> None:
    Notify({VARIABLE: str(tmp_path / "gone")})("READY=1")
    Notify({})("READY=1")


def test_the_command_for_the_first_admin_is_the_services_where_systemd_started_it() -> None:
    of_service = {"SYSTEMD_EXEC_PID": str(os.getpid()), "USER": "sluice"}
    assert config.admin_command(unit.DATA, of_service) == (
        f"sudo -u sluice SLUICE_DATA_DIR=/var/lib/sluice {place.PROGRAM} admin create you@example.org"
    )
    of_a_desktop = {"SYSTEMD_EXEC_PID": "1", "USER": "ada"}  # of a terminal that systemd started
    assert config.admin_command(unit.DATA, of_a_desktop).startswith("SLUICE_DATA_DIR=/var/lib/sluice ")
