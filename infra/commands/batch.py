"""`sluice batch run FILE`, `sluice batch resume BATCH`: a server answers a file of requests, with a progress bar."""

import http.client
import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

URL, TOKEN = "SLUICE_URL", "SLUICE_API_TOKEN"
TIMEOUT_SECONDS, PATIENCE_SECONDS = 60, 120
PIECE_BYTES = 1024 * 1024
PART_BYTES = 4_000_000
NAME = "batch.jsonl"
OVER = ("completed", "failed", "expired", "cancelled")


class Away(Exception):
    """The server does not answer now, or too much was asked."""


class Server:
    """`url`: with or without the `/v1` that a base URL of OpenAI's SDKs ends in."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url.rstrip("/").removesuffix("/v1"))
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connect, self._host, self._path = kind, parts.netloc, parts.path + "/v1"
        self._token = token

    @contextmanager
    def _asked(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Iterator[Any]:
        """Errors: Away; ClickException for a refusal."""
        sent = {"Authorization": f"Bearer {self._token}", **(headers or {})}
        connection = self._connect(self._host, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, self._path + path, body, sent)
            answer = connection.getresponse()
            if answer.status >= 500 or answer.status == 429:
                raise Away(f"it answered {answer.status}: {_said(answer.read())}")
            if answer.status >= 400:
                raise click.ClickException(f"{method} {path}: {answer.status}: {_said(answer.read())}")
            yield answer
        except (OSError, http.client.HTTPException) as exc:
            raise Away(str(exc)) from exc
        finally:
            connection.close()

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        text = None if body is None else json.dumps(body).encode()
        with self._asked(method, path, text, {"Content-Type": "application/json"}) as answer:
            return dict(json.loads(answer.read()))

    def upload(self, file: Path) -> str:
        """In parts if it is larger than one request may be on AWS. → the id."""
        size, parts = file.stat().st_size, []
        if size <= PART_BYTES:
            return str(self._send("/files", "file", file.read_bytes(), purpose="batch")["id"])
        told = {"bytes": size, "filename": NAME, "mime_type": "application/jsonl", "purpose": "batch"}
        path = f"/uploads/{self.call('POST', '/uploads', told)['id']}"
        with file.open("rb") as opened:
            while piece := opened.read(PART_BYTES):
                parts.append(_patiently(partial(self._send, path + "/parts", "data", piece))["id"])
        return str(_patiently(partial(self.call, "POST", path + "/complete", {"part_ids": parts}))["file"]["id"])

    def _send(self, path: str, field: str, content: bytes, **fields: str) -> dict[str, Any]:
        """A form with a file."""
        mark = secrets.token_hex(16)
        heads = [(f'name="{name}"', text.encode()) for name, text in fields.items()]
        body = b"".join(
            f"--{mark}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + held + b"\r\n"
            for head, held in [*heads, (f'name="{field}"; filename="{NAME}"', content)]
        )
        headers = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        with self._asked("POST", path, body + f"--{mark}--\r\n".encode(), headers) as answer:
            return dict(json.loads(answer.read()))

    def download(self, file_id: str, target: Path) -> None:
        """Whole, or not at all. A large file on AWS is at another address, which needs no API token."""
        part = target.with_name(target.name + ".part")
        with self._asked("GET", f"/files/{file_id}/content") as answer, part.open("wb") as opened:
            if answer.status < 300:
                _copy(answer, opened)
            else:
                _fetch(answer.getheader("Location"), opened)
        part.replace(target)


def _fetch(url: str, opened: Any) -> None:
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(parts.netloc, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        answer = connection.getresponse()
        if answer.status != 200:
            raise Away(f"the bucket answered {answer.status}")
        _copy(answer, opened)
    finally:
        connection.close()


def _copy(answer: http.client.HTTPResponse, opened: Any) -> None:
    """Errors: Away, if the connection ended before the answer did, which `http.client` does not say."""
    shutil.copyfileobj(answer, opened, PIECE_BYTES)
    if answer.length:
        raise Away(f"{answer.length:,} bytes are missing")


def _said(raw: bytes) -> str:
    try:
        return str(json.loads(raw)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return raw[:200].decode(errors="replace")


def _options(function: Any) -> Any:
    for option in (
        click.option("--url", envvar=URL, default="http://127.0.0.1:8080", show_default=True, help="The server."),
        click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: FILE.output.jsonl."),
        click.option("--errors", type=click.Path(dir_okay=False, path_type=Path), help="Default: FILE.errors.jsonl."),
    ):
        function = option(function)
    return function


command = click.Group("batch", help=f"Answer a file of requests in the background. The API token stands in {TOKEN}.")


@command.command("run")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_options
def run(file: Path, url: str, output: Path | None, errors: Path | None) -> None:
    """Send FILE, a line of JSON for each request (custom_id, method, url, body), wait, and fetch the answers.

    It may be interrupted: `sluice batch resume` goes on. Exit status: 0 all rows are answered, 1 some are not.
    """
    server = _server(url)
    with file.open("rb") as opened:
        endpoint = _endpoint(opened.readline(PIECE_BYTES * 2))
    try:
        asked = {"input_file_id": server.upload(file), "endpoint": endpoint, "completion_window": "24h"}
        batch = server.call("POST", "/batches", asked)
    except Away as exc:
        raise click.ClickException(f"no answer from {url}: {exc}") from exc
    click.echo(f"{batch['id']}  (resume: sluice batch resume {batch['id']})", err=True)
    _finish(server, batch["id"], *_targets(file, output, errors))


@command.command("resume")
@click.argument("batch_id", metavar="BATCH")
@_options
def resume(batch_id: str, url: str, output: Path | None, errors: Path | None) -> None:
    """Wait for a batch that was made before, and fetch its answers. FILE is the batch's id."""
    _finish(_server(url), batch_id, *_targets(Path(batch_id), output, errors))


def _targets(file: Path, output: Path | None, errors: Path | None) -> tuple[Path, Path]:
    return output or file.with_suffix(".output.jsonl"), errors or file.with_suffix(".errors.jsonl")


def _server(url: str) -> Server:
    token = os.environ.get(TOKEN, "")
    if not token:
        raise click.ClickException(f"Set {TOKEN} to an API token with the scopes batches and files.")
    return Server(url, token)


def _endpoint(line: bytes) -> str:
    try:
        return str(json.loads(line)["url"])
    except (ValueError, LookupError, TypeError):
        wanted = "a JSON object with custom_id, method, url and body"
        raise click.ClickException(f"The first line is not a request, which is {wanted}.") from None


def _finish(server: Server, batch_id: str, output: Path, errors: Path) -> None:
    batch = _waited(server, batch_id)
    for fault in (batch["errors"] or {"data": []})["data"]:
        click.echo(f"line {fault['line']}: {fault['message']}", err=True)
    for file_id, target in ((batch["output_file_id"], output), (batch["error_file_id"], errors)):
        if file_id:
            _patiently(partial(server.download, file_id, target))
            click.echo(str(target))
    counts = batch["request_counts"]
    click.echo(f"{batch['status']}: {counts['completed']} of {counts['total']} answered", err=True)
    sys.exit(0 if batch["status"] == "completed" and not counts["failed"] else 1)


def _waited(server: Server, batch_id: str) -> dict[str, Any]:
    def look() -> Any:
        return server.call("GET", f"/batches/{batch_id}")

    batch, done, pause = _patiently(look), 0, 0.2
    while batch["status"] == "validating":
        time.sleep(pause)
        batch = _patiently(look)
    with click.progressbar(length=batch["request_counts"]["total"], label=batch_id, file=sys.stderr) as bar:
        while True:
            now = batch["request_counts"]["completed"] + batch["request_counts"]["failed"]
            bar.update(now - done)
            pause, done = (0.2 if now > done else min(5.0, pause * 1.5)), now
            if batch["status"] in OVER:
                return dict(batch)
            time.sleep(pause)
            batch = _patiently(look)


def _patiently(ask: Any) -> Any:
    """A server that restarts does not end the wait."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return ask()
        except Away as exc:
            if time.monotonic() > until:
                raise click.ClickException(f"no answer: {exc}") from exc
            time.sleep(1)
