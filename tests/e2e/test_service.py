"""`sluice service` on a machine with a real systemd: installed, confined, restarted, stopped, taken away."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.service.unit import DATA, ENVIRONMENT, FILE
from tests.e2e import machine
from tests.e2e.machine import Machine
from tests.e2e.system import ROOT
from tests.unit.documents.pdfs import pdf

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.one_machine("its service")]

OWNERS = "LD_LIBRARY_PATH=/opt/python/lib\n"
"""The Python of the tests may look for its library where the service sees nothing."""
AS_SERVICE = (
    *("runuser", "-u", "sluice", "--", "env", OWNERS.strip(), f"SLUICE_DATA_DIR={DATA}", "XDG_CACHE_HOME=/var/cache"),
    "/opt/sluice/bin/sluice",
)
STATUS = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080/healthz').read().decode())"


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    if reason := machine.why_not():
        pytest.skip(f"no machine with systemd here: {reason}")
    folder = tmp_path_factory.mktemp("machine")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    one = Machine(folder, next(folder.glob("*.whl")))
    try:
        one.boot()
        one.path(str(ENVIRONMENT)).parent.mkdir()
        one.path(str(ENVIRONMENT)).write_text(OWNERS)
        yield one
    finally:
        one.discard()


@pytest.fixture(scope="module")
def installed(booted: Machine) -> tuple[Machine, str]:
    """And what the command said."""
    done = booted.sluice("service", "install")
    assert done.returncode == 0, done.stdout + done.stderr + booted.run("journalctl", "--no-pager").stdout
    return booted, done.stdout


def main_pid(one: Machine) -> int:
    return int(one.ok("systemctl", "show", "sluice", "--property=MainPID", "--value"))


def test_it_returns_when_the_system_answers_and_says_each_step(installed: tuple[Machine, str]) -> None:
    one, said = installed
    assert '"status":"ok"' in one.ok("/opt/sluice/bin/python", "-c", STATUS).replace(" ", "")
    for step in (
        "the store's program is /var/cache/sluice/dynoxide-", "made the user sluice", f"{ENVIRONMENT} stays as it is",
        f"wrote {FILE}", "it starts with the machine",
        "ready at http://127.0.0.1:8080. The first admin: sudo -u sluice SL",
    ):  # fmt: skip
        assert step in said
    assert one.path(str(ENVIRONMENT)).read_text() == OWNERS
    wanted = one.ok("systemctl", "list-dependencies", "--plain", "multi-user.target")
    assert "sluice.service" in wanted and one.ok("systemctl", "is-enabled", "sluice") == "enabled\n"


def test_repeating_it_changes_nothing(installed: tuple[Machine, str]) -> None:
    one, _ = installed
    before = main_pid(one)
    said = one.sluice("service", "install").stdout
    assert f"{FILE} is up to date" in said and "it runs" in said and main_pid(one) == before


def test_everything_works_as_confined_as_it_is(installed: tuple[Machine, str], tmp_path: Path) -> None:
    """Sign-up to revocation, model, streams, mails; then the parsers, which are processes of their own."""
    one, _ = installed
    one.ok(*AS_SERVICE, "demo")
    folder = one.path("/var/lib/documents-of-the-test")
    folder.mkdir()
    (folder / "tides.pdf").write_bytes(pdf(["The tide comes twice a day."]))
    (folder / "tides.txt").write_text("The moon makes the tide.")
    create = [*AS_SERVICE, "admin", "create", "ada@example.org", "--password-stdin"]
    one.ok("sh", "-c", f"echo correct horse battery | {shlex.join(create)}")
    seeded = one.ok(*AS_SERVICE, "docs", "seed", f"/var/lib/{folder.name}", "--user", "ada@example.org")
    assert "2 files in vector store" in seeded and "0 could not be read" in seeded
    log = one.ok("/opt/sluice/bin/sluice", "service", "logs")
    assert "the store is not protected" not in log and "sluice is ready at" in log
    assert "Booting worker" in one.ok("/opt/sluice/bin/sluice", "service", "logs", "app")


def test_each_process_has_lost_what_it_does_not_need(installed: tuple[Machine, str]) -> None:
    one, _ = installed
    group = one.path("/sys/fs/cgroup/system.slice/sluice.service/cgroup.procs").read_text().split()
    assert len(group) > 8
    for pid in group:
        state = Path(f"/proc/{pid}/status").read_text()  # as this side numbers them
        assert re.search(r"^NoNewPrivs:\t1$", state, re.M) and re.search(r"^Seccomp:\t2$", state, re.M)
        assert not re.search(r"^Uid:.*\t0\t", state, re.M)
    inside = ("nsenter", "--target", str(main_pid(one)), "--mount", "sh", "-c")
    for folder in ("/etc", "/usr", "/opt", "/var", "/var/cache/sluice"):
        assert "Read-only file system" in one.run(*inside, f"touch {folder}/x").stderr, folder
    assert one.run(*inside, "ls -A /root /home").stdout.replace("/root:", "").replace("/home:", "").split() == []


def test_status_says_how_it_is(installed: tuple[Machine, str]) -> None:
    one, _ = installed
    done = one.sluice("service", "status")
    assert done.returncode == 0 and "service    active (running) since" in done.stdout, done.stdout + done.stderr
    assert "SluiceDown" in one.ok("/opt/sluice/bin/sluice", "dashboard", "--alerts")  # they are in the wheel
    assert '"uid": "sluice"' in one.ok("/opt/sluice/bin/sluice", "dashboard")
    assert "demo (loaded)" in done.stdout and f"for {DATA}" in done.stdout


def test_a_killed_launcher_is_started_again_with_everything(installed: tuple[Machine, str]) -> None:
    one, _ = installed
    before = main_pid(one)
    one.ok("kill", "-KILL", str(before))
    machine.wait_until(lambda: main_pid(one) not in (0, before) and one.sluice("service", "status").returncode == 0)


def test_an_upgrade_keeps_the_process_and_the_unit_stays_active(installed: tuple[Machine, str]) -> None:
    one, _ = installed
    before = main_pid(one)
    done = one.run(*AS_SERVICE, "upgrade")
    assert done.returncode == 0 and "runs at http://127.0.0.1:8080, and is healthy" in done.stderr, done.stderr
    assert main_pid(one) == before
    assert one.ok("systemctl", "show", "sluice", "--property=SubState,NRestarts", "--value").split()[-1] == "running"
    assert one.sluice("service", "status").returncode == 0


def test_a_drop_in_stays_and_an_edited_unit_is_not_overwritten(installed: tuple[Machine, str]) -> None:
    one, _ = installed
    drop_in = one.path(f"{FILE}.d/override.conf")
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text("[Service]\nEnvironment=PORT=8090\n")
    one.ok("systemctl", "daemon-reload")
    one.ok("systemctl", "restart", "sluice")
    assert one.sluice("service", "install").returncode == 0
    assert "http://127.0.0.1:8090" in one.sluice("service", "status").stdout
    unit = one.path(str(FILE))
    ours = unit.read_text()
    unit.write_text(ours.replace("RestartSec=10", "RestartSec=1"))
    done = one.sluice("service", "install")
    assert done.returncode == 1 and "was changed by hand" in done.stderr and "RestartSec=1\n" in unit.read_text()
    unit.write_text(ours)


def test_wrong_settings_fail_the_start_with_their_reason(installed: tuple[Machine, str]) -> None:
    one, _ = installed
    one.path(str(ENVIRONMENT)).write_text(f"{OWNERS}SLUICE_MAIL=nonsense\n")
    assert one.run("systemctl", "restart", "sluice").returncode == 1
    assert one.sluice("service", "status").returncode == 3
    assert "SLUICE_MAIL has to be outbox" in one.sluice("service", "logs").stdout
    one.path(str(ENVIRONMENT)).write_text(OWNERS)
    one.ok("systemctl", "restart", "sluice")


def test_a_stop_is_orderly(installed: tuple[Machine, str]) -> None:
    one, _ = installed
    one.ok("systemctl", "stop", "sluice")
    assert one.ok("systemctl", "show", "sluice", "--property=Result", "--value") == "success\n"
    assert one.sluice("service", "logs").stdout.count("sluice: stopped") >= 1
    done = one.sluice("service", "status")
    assert done.returncode == 3 and "nothing runs on /var/lib/sluice" in done.stderr


def test_uninstall_leaves_the_data_and_says_where(installed: tuple[Machine, str]) -> None:
    one, _ = installed
    one.ok("systemctl", "start", "sluice")
    done = one.sluice("service", "uninstall")
    assert done.returncode == 0 and f"everyone's data stay in {DATA}" in done.stdout
    assert not one.path(str(FILE)).exists() and one.path(f"{DATA}/store.db").exists()
    assert one.run("systemctl", "is-active", "sluice").stdout.strip() == "inactive"
    assert one.sluice("service", "status").returncode == 3
    assert one.sluice("service", "uninstall").returncode == 1


def test_two_installs_at_once_after_a_killed_one_find_the_data(installed: tuple[Machine, str]) -> None:
    one, _ = installed
    again, key = "/opt/sluice/bin/sluice service install", one.path(f"{DATA}/keys/token-signing.pem").read_text()
    for seconds in (0.5, 0.8, 1.1):
        one.run("timeout", "--signal=KILL", str(seconds), *again.split())
    both = one.run("sh", "-c", f"{again} & {again}; said=$?; wait $! && exit $said")
    assert both.returncode == 0, both.stdout + both.stderr
    assert one.sluice("service", "status").returncode == 0
    assert one.path(f"{DATA}/keys/token-signing.pem").read_text() == key
