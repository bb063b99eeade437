"""`sluice proxy`: what it writes agrees with Sluice's own limits and deadlines, and says what Sluice needs."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from infra.commands.proxy import command
from infra.doctor.configuration import settings as doctor_settings
from infra.proxies.configuration import KEEP_ALIVE_SECONDS, LARGER, regex, render
from sluice import settings
from sluice.http.app import MAX_BODY_BYTES
from tests.contract.markdown import ROOT

NAME = "sluice.example.org"
GUNICORN = (ROOT / "infra" / "local" / "gunicorn.conf.py").read_text()
TEMPLATES = ROOT / "layers" / "core" / "sluice" / "pages" / "templates"


def run(*words: str) -> Result:
    return CliRunner().invoke(command, words)


def test_the_caddyfile_of_compose_is_what_the_command_writes() -> None:
    assert (ROOT / "Caddyfile").read_text() == run("caddy", "--domain", "{$DOMAIN}", "--upstream", "sluice:8080").stdout


@pytest.mark.parametrize("proxy", ["caddy", "nginx"])
def test_it_says_which_settings_sluice_needs(proxy: str, tmp_path: Path) -> None:
    here = run(proxy, "--domain", NAME)
    assert f"SLUICE_BASE_URL=https://{NAME}\n" in here.stderr
    assert "SLUICE_TRUSTED_PROXIES=127.0.0.1,::1\n" in here.stderr and "SLUICE_HOST" not in here.stderr
    there = run(proxy, "--domain", NAME, "--upstream", "10.0.0.2:8080", "--to", str(tmp_path / "file"))
    assert there.stdout == "" and "SLUICE_HOST=" in there.stderr and "127.0.0.1,::1" not in there.stderr
    assert (tmp_path / "file").read_text() == render(proxy, NAME, ["10.0.0.2:8080"])


@pytest.mark.parametrize(
    "words",
    [
        ("--domain", "a b"),
        ("--domain", "a;b"),
        ("--domain", NAME, "--upstream", "x"),
        ("--domain", NAME, "--upstream", "x:1 {"),
        ("--domain", NAME, "--upstream", "10.0.0.2:65536"),
    ],
)
@pytest.mark.parametrize("proxy", ["caddy", "nginx"])
def test_what_could_break_the_file_is_refused(proxy: str, words: tuple[str, ...]) -> None:
    refused = run(proxy, *words)
    assert refused.exit_code == 2 and refused.stdout == "" and words[-1] in refused.stderr


def test_caddys_variable_is_nothing_to_nginx() -> None:
    assert run("nginx", "--domain", "{$DOMAIN}").exit_code == 2


def test_wrong_settings_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_REQUEST_DEADLINE_SECONDS", "soon")
    refused = run("nginx", "--domain", NAME)
    assert refused.exit_code == 1 and "SLUICE_REQUEST_DEADLINE_SECONDS" in refused.stderr


def test_a_folder_that_is_missing_is_said(tmp_path: Path) -> None:
    refused = run("nginx", "--domain", NAME, "--to", str(tmp_path / "no" / "file"))
    assert refused.exit_code == 1 and "cannot be written" in refused.stderr


@pytest.mark.parametrize("proxy", ["caddy", "nginx"])
def test_idle_connections_end_at_the_proxy_first(proxy: str) -> None:
    ours = re.search(r"^keepalive = (\d+)", GUNICORN, re.MULTILINE)
    assert ours is not None and int(ours[1]) > KEEP_ALIVE_SECONDS
    assert re.search(rf"keepalive(_timeout)? {KEEP_ALIVE_SECONDS}s", render(proxy, NAME))


def test_nginx_waits_longer_than_the_longest_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_REQUEST_DEADLINE_SECONDS", "1800")
    settings.gateway.cache_clear()
    try:
        waits = re.findall(r"proxy_(?:read|send)_timeout (\d+)s;", render("nginx", NAME))
    finally:
        settings.gateway.cache_clear()
    assert len(waits) == 2 and all(int(one) > 1800 for one in waits)


def test_nginx_knows_every_route_that_takes_more_than_others() -> None:
    """Those whose body is no JSON of ours, and every form with a file."""
    document = json.loads((ROOT / "functions" / "web" / "openapi.json").read_text())
    kinds = {
        path: set(call["requestBody"]["content"])
        for path, calls in document["paths"].items()
        for call in calls.values()
        if isinstance(call, dict) and "requestBody" in call
    }
    api = {path for path, found in kinds.items() if found & {"multipart/form-data", "*/*", "application/octet-stream"}}
    patterns = [re.compile(regex(rules)) for _, rules in LARGER.values()]
    names = {re.sub(r"\{\w+\}", "x", path) for path in api}
    assert names == {"/v1/files", "/v1/uploads/x/parts", "/v1/run/x"}
    forms = [file.name for file in TEMPLATES.rglob("*.html") if "multipart/form-data" in file.read_text()]
    assert sorted(forms) == ["chat_files.html", "chats.html", "documents.html"]
    pages = ("/my/documents", "/my/chats/files", "/my/chats/import", "/my/chats/chat_1/files")  # of these forms
    for path in (*names, "/v2/models/x/infer", *pages):
        assert any(pattern.fullmatch(path) for pattern in patterns), path
    for path in (
        "/v1/filesx",
        "/v1/files/file_1",
        "/v1/uploads",
        "/v1/uploads/x/complete",
        "/v1/chat/completions",
        "/my/chats",
        "/my/chats/a/b/files",
    ):
        assert not any(pattern.fullmatch(path) for pattern in patterns), path
    assert all(most > MAX_BODY_BYTES for most, _ in LARGER.values())


def test_http_3_of_nginx_is_asked_for() -> None:
    assert "quic" not in render("nginx", NAME)
    with_it = run("nginx", "--domain", NAME, "--http3").stdout
    assert "listen 443 quic" in with_it and "http2 on;" in with_it and "h3=" in with_it
    assert "ssl http2" not in with_it  # which such an nginx warns of


def test_several_machines_are_named_once_each() -> None:
    hosts = ("10.0.0.2:8080", "10.0.0.3:8080")
    words = [word for host in hosts for word in ("--upstream", host)]
    assert "reverse_proxy 10.0.0.2:8080 10.0.0.3:8080 {" in run("caddy", "--domain", NAME, *words).stdout
    assert all(f"    server {host};" in run("nginx", "--domain", NAME, *words).stdout for host in hosts)


@pytest.mark.parametrize("hosts", [("127.0.0.1:8080",), ("10.0.0.2:8080", "10.0.0.3:8080")])
def test_caddy_itself_accepts_the_file_and_would_not_write_it_otherwise(hosts: tuple[str, ...], tmp_path: Path) -> None:
    if shutil.which("caddy") is None:
        pytest.skip("caddy is not installed (Debian: apt install caddy)")
    file = tmp_path / "Caddyfile"
    file.write_text(render("caddy", NAME, hosts))
    subprocess.run(
        ["caddy", "validate", "--adapter", "caddyfile", "--config", file], capture_output=True, timeout=60, check=True
    )
    done = subprocess.run(["caddy", "fmt", file], capture_output=True, text=True, timeout=60)
    assert done.stdout == file.read_text()


@pytest.mark.parametrize(
    ("base_url", "trusted", "said"),
    [(f"https://{NAME}", "", True), (f"https://{NAME}", "127.0.0.1", False), ("http://127.0.0.1:8080", "", False)],
)
def test_doctor_notes_that_all_callers_would_have_the_proxys_address(
    monkeypatch: pytest.MonkeyPatch, base_url: str, trusted: str, said: bool
) -> None:
    monkeypatch.setenv("SLUICE_BASE_URL", base_url)
    monkeypatch.setenv("SLUICE_TRUSTED_PROXIES", trusted)
    notes = [one.text for one in doctor_settings() if one.kind == "note"]
    assert any("no proxy is trusted" in text for text in notes) == said
