"""`sluice status` and `sluice top` of what `/metrics` says."""

import json
import os
import pty
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from infra.cli import main
from infra.local import processes
from infra.local.holder import Holder
from infra.watching import screen, top
from infra.watching.reading import Reading, _by_name
from tests.contract.markdown import ROOT
from tests.servers import Handler, Server

HOUR = 3600.0
WELL = """\
sluice_info{version="1.2.3",base_url="http://127.0.0.1:8080",mail="smtp"} 1
sluice_started_timestamp_seconds 1000
sluice_part_up{part="store"} 1
sluice_part_up{part="model"} 1
sluice_model_state{model="demo",state="loaded"} 1
sluice_engine_slots 8
sluice_engine_running 2
sluice_engine_waiting 3
sluice_running_leases 5
sluice_late_mails 0
sluice_dead_letters{place="dead-letters.jsonl"} 0
sluice_disk_free_bytes 9e9
sluice_disk_bytes 1e11
sluice_last_backup_timestamp_seconds 1000
"""


class Site:
    """A server whose `/metrics` the test writes, and a data directory that names it."""

    def __init__(self, data: Path) -> None:
        self.text, self.status, self.data = WELL, 200, data
        site = self

        class Requests(Handler):
            def do_GET(self) -> None:
                self.answer(site.status, site.text.encode())

        self.server = Server(Requests)
        self.url = self.server.url
        run = data / "run"
        run.mkdir(parents=True)
        (run / "lock").write_text(f"process 17, {self.url}")
        processes.record(run, "supervisor")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    one = Site(tmp_path / "data")
    monkeypatch.setenv("SLUICE_DATA_DIR", str(one.data))
    yield one
    one.server.stop()


def sluice(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def reading(text: str, at_s: float = 0.0) -> Reading:
    return Reading(at_s, "http://127.0.0.1:8080", Path("/data"), _by_name(text))


def told(text: str, now_s: float = 1000 + HOUR) -> dict[str, screen.Finding]:
    return {one.name: one for one in screen.findings(reading(text), now_s)}


def test_all_well_is_exit_status_0_and_one_line_each(site: Site) -> None:
    site.text = WELL.replace("_seconds 1000", f"_seconds {time.time() - HOUR}")
    done = sluice("status")
    assert done.exit_code == 0, done.output
    for line in (
        f"ok   up           {site.url}, version 1.2.3, since 1 hour", "ok   models       demo (loaded)",
        "ok   requests     5 running, 0 waiting for admission; 2 of 8 slots, 3 waiting in the engine",
        "ok   mail         by smtp, none is late", "ok   backup       1 hour ago",
    ):  # fmt: skip
        assert line in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("was", "becomes", "name", "said"),
    [
        ('{part="store"} 1', '{part="store"} 0', "store", "every call gets 503"),
        ('{part="model"} 1', '{part="model"} 0', "models", "the model server does not answer"),
        ('state="loaded"', 'state="failed"', "models", "demo (failed)"),
        ("late_mails 0", "late_mails 4", "mail", "4 late"),
        ("sluice_late_mails 0\n", "", "mail", "does not say"),
        ('jsonl"} 0', 'jsonl"} 2', "events", "2 failed for good: relay/dead-letters.jsonl"),
        ("free_bytes 9e9", "free_bytes 1e8", "disk", "95 MiB free"),
        ("backup_timestamp_seconds 1000", f"backup_timestamp_seconds {1000 - 3 * 86_400}", "backup", "3 days ago"),
    ],
)
def test_each_trouble_is_named_and_is_exit_status_1(site: Site, was: str, becomes: str, name: str, said: str) -> None:
    assert was in WELL
    found = told(WELL.replace(was, becomes))
    assert [one.name for one in found.values() if not one.is_well] == [name] and said in found[name].said
    site.text = WELL.replace(was, becomes)
    assert sluice("status").exit_code == 1


def test_without_a_backup_or_an_engine_nothing_is_wrong() -> None:
    lines = [line for line in WELL.splitlines() if not any(one in line for one in ("backup", "engine", "model_state"))]
    found = told("\n".join(lines))
    assert all(one.is_well for one in found.values())
    assert found["backup"].said.startswith("none yet") and found["models"].said == "of other servers"


def test_scripts_get_json(site: Site) -> None:
    site.text = WELL.replace("late_mails 0", "late_mails 4")
    done = sluice("status", "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 1 and found["is_up"] and not found["is_well"]
    assert found["mail"] == {"is_well": False, "is": {"by": "smtp", "late": 4}}


def test_an_upgrade_is_said_and_not_taken_for_a_system_that_was_never_started(site: Site) -> None:
    (site.data / "run" / "lock").write_text(Holder.of(site.url).note())
    (site.data / "run" / "supervisor.pid").unlink()  # none runs during the migration
    (site.data / "run" / "closed").touch()
    done = sluice("status")
    assert done.exit_code == 3 and f"process {os.getpid()} upgrades the store" in done.stderr


def test_nothing_that_runs_is_exit_status_3_with_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_DATA_DIR", str(tmp_path))
    for words in (("status",), ("top",)):
        done = sluice(*words)
        assert done.exit_code == 3 and f"nothing runs on {tmp_path}. Start it with" in done.stderr
    assert json.loads(sluice("status", "--json").stdout)["is_up"] is False


def test_a_run_that_was_killed_is_not_up(site: Site) -> None:
    (site.data / "run" / "supervisor.pid").write_text(f"{os.getpid()} 1\n")  # another process has its pid now
    assert sluice("status").exit_code == 3


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (404, "", "/metrics answers loopback only"),
        (500, "", "it answers 500"),
        (200, "{{{", "does not answer as it should"),
    ],
)
def test_an_answer_that_is_no_metrics_is_said(site: Site, status: int, text: str, said: str) -> None:
    site.status, site.text = status, text
    done = sluice("status")
    assert done.exit_code == 3 and said in done.stderr, done.stderr


def test_a_port_without_a_server_is_said(site: Site) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        (site.data / "run" / "lock").write_text(f"process 17, http://127.0.0.1:{free.getsockname()[1]}")
        done = sluice("status")
    assert done.exit_code == 3 and "it starts, stops or is overloaded" in done.stderr


def test_the_certificate_of_the_public_address_is_looked_at() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"https://127.0.0.1:{silent.getsockname()[1]}"
        found = told(WELL.replace("http://127.0.0.1:8080", address))["certificate"]
    assert not found.is_well and "cannot be checked" in found.said


# --- top

BEFORE = """\
sluice_http_requests_total{route="/a",status="200"} 100
sluice_requests_total{endpoint="chat"} 10
sluice_tokens_total{kind="prompt"} 1000
sluice_tokens_total{kind="completion"} 500
sluice_tokens_total{kind="cached"} 900
sluice_spend_micro_usd_total 1000000
sluice_first_token_seconds_bucket{le="0.1"} 50
sluice_first_token_seconds_bucket{le="0.5"} 50
sluice_first_token_seconds_bucket{le="+Inf"} 50
"""
AFTER = """\
sluice_http_requests_total{route="/a",status="200"} 130
sluice_http_requests_total{route="/b",status="503"} 10
sluice_requests_total{endpoint="chat"} 30
sluice_tokens_total{kind="prompt"} 1200
sluice_tokens_total{kind="completion"} 700
sluice_tokens_total{kind="cached"} 1000
sluice_spend_micro_usd_total 1020000
sluice_first_token_seconds_bucket{le="0.1"} 60
sluice_first_token_seconds_bucket{le="0.5"} 70
sluice_first_token_seconds_bucket{le="+Inf"} 70
sluice_process_resident_bytes{process="app"} 104857600
"""


def shown(before: str, after: str) -> str:
    return "\n".join(top.frame(reading(before), reading(WELL + after, 10.0), 1000 + HOUR))


def test_rates_are_those_of_the_interval() -> None:
    text = shown(BEFORE, AFTER)
    for part in (
        "up for 1 hour", "requests          4.0 /s    2xx 3.0  5xx 1.0", "answers           2.0 /s",
        "tokens           40.0 /s    cached 10.0  completion 20.0  prompt 20.0", "p50 0.100 s, p95 0.460 s",
        "7.2000 USD an hour", "2 of 8", "3 at the engine", "memory            100 MiB",
    ):  # fmt: skip
        assert part in text, text


def test_counters_of_a_new_start_have_no_rate_below_zero() -> None:
    text = shown(AFTER, BEFORE)
    assert "requests          0.0 /s" in text and "p50 -" in text and "0.0000 USD" in text


def test_once_prints_a_frame_without_codes_of_a_terminal(site: Site) -> None:
    done = sluice("top", "--once", "--every", "0.2")
    assert done.exit_code == 0 and "demo (loaded)" in done.stdout and "\x1b" not in done.stdout


@pytest.mark.parametrize("end", ["q", "\x03", "terminate"])
def test_a_terminal_gets_its_screen_back_however_it_ends(site: Site, end: str) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever started the tests in the background had it ignored
        os.execv(sys.executable, [sys.executable, "-c", "from infra.cli import main; main()", "top", "--every", "0.2"])
    try:
        text = _read_until(terminal, b"q quits")
        assert text.startswith(top.ENTER.encode()) and b"demo (loaded)" in text
        site.status = 500  # while it is updated
        _read_until(terminal, b"cannot be read")
        site.status = 200
        _read_until(terminal, b"demo (loaded)")
        if end == "terminate":
            os.kill(pid, signal.SIGTERM)
        else:
            os.write(terminal, end.encode())
        _read_until(terminal, top.LEAVE.encode())
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        os.close(terminal)


def _read_until(terminal: int, wanted: bytes) -> bytes:
    text, until_s = b"", time.monotonic() + 120
    while wanted not in text:
        assert select.select([terminal], [], [], 120)[0] and time.monotonic() < until_s, text[-2000:]
        text += os.read(terminal, 65_536)
    return text


def test_what_a_name_contains_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = replace(reading(WELL), samples={"sluice_model_state": (({"model": "\x1b[2J", "state": "loaded"}, 1.0),)})
    top._draw(list(top.frame(evil, evil, 0.0)))
    assert "\x1b[2J" not in capsys.readouterr().out
