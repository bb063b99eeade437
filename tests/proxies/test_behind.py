"""What only a proxy can break, on a real Caddy and a real nginx with the configuration of `sluice proxy`."""

import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from infra.local.processes import recorded
from infra.proxies.configuration import CADDY, LARGER, UPLOAD_BYTES
from sluice.domain.documents.uploads import MAX_FILE_BYTES
from sluice.http.app import MAX_BODY_BYTES
from sluice.http.gateway.run_models import AnyBody
from tests.e2e.people import Person, session_cookie
from tests.e2e.system import System
from tests.ports import free_port
from tests.proxies import front as fronts
from tests.proxies.front import DOMAIN, Front
from tests.proxies.stepped_engine import SteppedEngine
from tests.waiting import eventually

pytestmark = pytest.mark.slow
CHAT = {"model": "demo", "messages": [{"role": "user", "content": "What is 3 + 4?"}]}
JSON = {"Content-Type": "application/json"}
SILENCE_SECONDS = 3.5
"""Longer than the proxies' own defaults, which the tests shorten (tests/proxies/front.py)."""
SENDERS = 200
Ask = Callable[..., requests.Response]


@pytest.fixture
def ask(front: Front, person: Person) -> Iterator[Ask]:
    """`ask(method, path, …)` through the proxy, with the person's API token."""
    with asking(front, person) as call:
        yield call


@contextmanager
def asking(front: Front, person: Person) -> Iterator[Ask]:
    with requests.Session() as session:
        session.trust_env, session.verify = False, str(front.authority)
        session.headers["Authorization"] = f"Bearer {person.api_token}"
        yield lambda method, path, **more: session.request(
            method, front.url + path, timeout=60, **{"allow_redirects": False, **more}
        )


def contents(lines: Iterator[bytes]) -> Iterator[str]:
    """The text of each chunk, as it arrives."""
    for line in lines:
        choices = json.loads(line[6:])["choices"] if line.startswith(b"data: {") else []
        yield from (one["delta"]["content"] for one in choices if one["delta"].get("content"))


@contextmanager
def curl(front: Front, person: Person, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """curl speaks HTTP/2 where the proxy does."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed (Debian: apt install curl)")
    trust = ("--cacert", str(front.authority), "--header", f"Authorization: Bearer {person.api_token}")
    command = ["curl", "--silent", "--show-error", "--no-buffer", "--max-time", "60", *trust, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        yield process
        process.kill()


# --- HTTP/2, TLS, redirects


def test_http_2_is_spoken_and_http_1_1_too(front: Front, person: Person) -> None:
    for version, words in {"2": (), "1.1": ("--http1.1",)}.items():
        said = ("--output", "/dev/null", "--write-out", "%{http_version} %{http_code}")
        with curl(front, person, *words, *said, front.url + "/v1/models") as process:
            assert process.communicate()[0] == f"{version} 200".encode()


def test_plain_http_leads_to_https_which_browsers_are_told_to_keep_to(front: Front, ask: Ask) -> None:
    plain = requests.get(f"http://{DOMAIN}:{front.plain_port}/login?next=x", allow_redirects=False, timeout=20)
    assert plain.status_code == 308 and plain.headers["location"].startswith(f"https://{DOMAIN}")
    assert plain.headers["location"].endswith("/login?next=x")
    kept = ask("GET", "/login").raw.headers.getlist("strict-transport-security")
    assert len(kept) == 1 and kept[0].startswith("max-age=")


def test_caddy_offers_http_3(front: Front, ask: Ask) -> None:
    if front.kind != CADDY:
        pytest.skip("nginx has HTTP/3 from 1.25 on, by --http3")
    assert f'h3=":{front.port}"' in ask("GET", "/healthz").headers["alt-svc"]


# --- streams


def test_each_chunk_of_a_stream_is_passed_on_before_the_next_one_is_made(ask: Ask, engine: SteppedEngine) -> None:
    engine.step()
    with ask("POST", "/v1/chat/completions", json=CHAT | {"stream": True}, stream=True) as answer:
        texts = contents(answer.iter_lines(chunk_size=1))
        for _ in range(engine.tokens):
            assert next(texts) == "xxxx"
            engine.step()
        assert list(texts) == []


def test_over_http_2_too_and_to_a_caller_that_takes_compressed_answers(
    front: Front, person: Person, engine: SteppedEngine
) -> None:
    body = ("--json", json.dumps(CHAT | {"stream": True}), "--header", "Accept-Encoding: gzip, br, zstd")
    with curl(front, person, "--http2", *body, front.url + "/v1/chat/completions") as process:
        assert process.stdout is not None
        texts = contents(iter(process.stdout.readline, b""))
        for _ in range(engine.tokens):
            engine.step()
            assert next(texts) == "xxxx"
        assert list(texts) == []


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_may_be_silent_for_longer_than_the_proxys_own_default(
    ask: Ask, engine: SteppedEngine, stream: bool
) -> None:
    later = threading.Timer(SILENCE_SECONDS, engine.step, (engine.tokens,))
    later.start()
    answer = ask("POST", "/v1/chat/completions", json=CHAT | {"stream": stream})
    later.join()
    assert answer.status_code == 200, answer.text
    if stream:
        assert list(contents(iter(answer.content.splitlines()))) == ["xxxx"] * engine.tokens
    else:
        assert answer.json()["choices"][0]["message"]["content"] == "xxxx" * engine.tokens


def test_a_caller_that_leaves_ends_the_generation(
    ask: Ask, engine: SteppedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "tokens", 1_000_000)  # it must not end by itself before it is noticed
    engine.step()
    with ask("POST", "/v1/chat/completions", json=CHAT | {"stream": True}, stream=True) as answer:
        assert next(contents(answer.iter_lines(chunk_size=1))) == "xxxx"
        generation = engine.generations[-1]

    def ended() -> str:
        engine.step()  # the engine notices at a token that nobody takes
        return generation.ended

    assert eventually(ended) == "gone"


# --- bodies


def refused(answer: requests.Response) -> tuple[int, Any]:
    """The status, and the code in the form of the path's other errors."""
    body = answer.json()
    return answer.status_code, body["code"] if "code" in body else body["error"]["code"]


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/v1/chat/completions", MAX_BODY_BYTES),
        ("/auth/login", MAX_BODY_BYTES),
        ("/v1/run/demo", AnyBody.max_bytes),
        ("/v2/models/demo/infer", AnyBody.max_bytes),
    ],
)
def test_a_body_of_the_limit_reaches_sluice_and_one_byte_more_is_a_413(ask: Ask, path: str, most: int) -> None:
    within = ask("POST", path, data=b" " * most, headers=JSON)
    assert within.status_code != 413 and "x-request-id" in within.headers, within.text
    assert refused(ask("POST", path, data=b" " * (most + 1), headers=JSON)) == (413, "request_too_large")


def test_the_largest_file_is_uploaded_and_comes_back_and_a_larger_one_is_a_413(ask: Ask) -> None:
    text, fields = b"w" * MAX_FILE_BYTES, {"purpose": "assistants"}
    sent = ask("POST", "/v1/files", files={"file": ("a.txt", text)}, data=fields)
    assert sent.status_code == 200, sent.text
    assert ask("GET", f"/v1/files/{sent.json()['id']}/content").content == text
    beyond = ask("POST", "/v1/files", files={"file": ("a.txt", b" " * UPLOAD_BYTES)}, data=fields)
    assert refused(beyond) == (413, "request_too_large")


def test_a_file_of_a_batch_is_larger(ask: Ask) -> None:
    text = b'{"custom_id": "a"}\n' * 600_000
    sent = ask("POST", "/v1/files", files={"file": ("rows.jsonl", text)}, data={"purpose": "batch"})
    assert sent.status_code == 200, sent.text
    assert ask("GET", f"/v1/files/{sent.json()['id']}/content").content == text


def test_nginx_does_not_collect_the_large_file_of_a_stranger(front: Front) -> None:
    if front.kind == CADDY:
        pytest.skip("Caddy collects no bodies")
    head = f"POST /v1/files HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Length: 20000000\r\n\r\n"
    with front.connect() as stranger:
        stranger.sendall(head.encode() + b"{")
        assert stranger.recv(100).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize("megabytes", [2, 9])  # the second is more than Sluice's own listener takes
def test_a_body_without_a_length_is_counted_too(ask: Ask, megabytes: int) -> None:
    pieces = (b" " * MAX_BODY_BYTES for _ in range(megabytes))
    beyond = ask("POST", "/v1/chat/completions", data=pieces, headers=JSON)
    assert refused(beyond) == (413, "request_too_large")


@pytest.mark.parametrize("path", LARGER["forms"][1])
def test_a_form_with_too_large_a_file_leads_to_a_page_that_says_so(front: Front, person: Person, path: str) -> None:
    with requests.Session() as browser:
        browser.trust_env, browser.verify = False, str(front.authority)
        browser.headers["Origin"] = f"https://{DOMAIN}"
        browser.headers["Cookie"] = f"{session_cookie(front.url)}={person.session_token}"
        sent = {"file": ("a.txt", b" " * UPLOAD_BYTES)}
        for _ in range(3):  # a busy machine's Caddy may still be sending when Sluice closes; it then says: come back
            address = front.url + path.replace("<chat_id>", "x")
            beyond = browser.post(address, files=sent, allow_redirects=False, timeout=60)
            if beyond.status_code != 503:
                break
    assert beyond.status_code == 303 and beyond.headers["location"].startswith("/my/")
    assert beyond.headers["location"].endswith("?note=too-large")


def test_slow_senders_hold_no_thread(front: Front, ask: Ask, home: System) -> None:
    before = threads(home)
    begun = f"POST /auth/login HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Length: 100000\r\n\r\n{{".encode()
    with ExitStack() as stack:
        for _ in range(SENDERS):
            stack.enter_context(front.connect()).sendall(begun)
        for path in ("/healthz", "/login", "/v1/models"):
            assert ask("GET", path).status_code == 200
        assert threads(home) < before + SENDERS / 4


def threads(home: System) -> int:
    """Of the app's worker."""
    app = recorded(home.data_dir / "run", "app")
    (worker,) = Path(f"/proc/{app}/task/{app}/children").read_text().split()
    return len(list(Path(f"/proc/{worker}/task").iterdir()))


# --- who asks


def log_in(front: Front, source: str, email: str, *forged: str) -> int:
    body = json.dumps({"email": email, "password": "wrong wrong wrong"})
    lines = ["POST /auth/login HTTP/1.1", f"Host: {DOMAIN}", "Content-Type: application/json", "Connection: close"]
    with front.connect(source) as sock:
        sock.sendall("\r\n".join([*lines, *forged, f"Content-Length: {len(body)}", "", body]).encode())
        return int(sock.recv(65536).split(b" ", 2)[1])


def test_attempts_are_counted_for_the_clients_own_address_whatever_it_claims(front: Front) -> None:
    email = f"{front.kind}@example.com"
    forged = ("X-Forwarded-For: 192.0.2.{0}", "Forwarded: for=192.0.2.{0}", "X-Real-IP: 192.0.2.{0}")
    for number in range(10):
        assert log_in(front, "127.0.0.2", email, *(header.format(number) for header in forged)) == 401
    assert log_in(front, "127.0.0.2", email, "X-Forwarded-For: 192.0.2.99") == 429
    assert log_in(front, "127.0.0.2", email, "X-Forwarded-For: 127.0.0.3") == 429
    assert log_in(front, "127.0.0.3", email) == 401


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "//metrics", "/%6detrics", "/_local/outbox", "/_local"])
def test_what_is_for_this_machine_is_closed_to_the_outside(front: Front, path: str) -> None:
    for host in (DOMAIN, "127.0.0.1", "localhost:8080"):
        with front.connect() as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            head = sock.recv(65536)
        nothing = host != DOMAIN and b"Content-Length: 0" in head  # Caddy's answer for a site that is not there
        assert nothing or head.split(b" ")[1] == b"404", head


# --- Sluice is away


def test_a_machine_that_is_away_is_left_out(front: Front, person: Person, home: System, tmp_path: Path) -> None:
    dead = free_port()
    with fronts.running(front.kind, tmp_path / "proxy", dead, home.port) as two, asking(two, person) as ask:

        def statuses(count: int) -> set[int]:
            return {ask("POST", "/v1/embeddings", json={}).status_code for _ in range(count)}

        eventually(lambda: statuses(4) == {400})  # Caddy looks every two seconds
        assert statuses(20) == {400}


def test_while_sluice_is_away_callers_are_told_to_come_again(front: Front, person: Person, tmp_path: Path) -> None:
    with fronts.running(front.kind, tmp_path / "proxy", free_port()) as alone, asking(alone, person) as ask:
        for path in ("/v1/models", "/account"):
            answer = ask("GET", path)
            assert refused(answer) == (503, "unavailable") and int(answer.headers["retry-after"]) > 0
        assert ask("POST", "/v1/messages", json=CHAT).json()["type"] == "error"
