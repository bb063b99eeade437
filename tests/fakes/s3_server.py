"""What Sluice uses of S3, over HTTP: puts on conditions, conditional gets, deletes, lists. Any bucket is there."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.servers import Handler, Server


class S3Server:
    """`objects`: by bucket and key."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def etag(self, name: str) -> str | None:
        body = self.objects.get(name)
        return None if body is None else f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'

    def put(self, name: str, body: bytes, only_if: str | None, unless: str | None) -> int:
        with self._lock:
            known = self.etag(name)
            if (only_if is not None and only_if != known) or (unless == "*" and known is not None):
                return 412
            self.objects[name] = body
            return 200

    def delete(self, name: str) -> None:
        with self._lock:
            self.objects.pop(name, None)

    def listed(self, bucket: str, prefix: str) -> str:
        with self._lock:
            keys = sorted(
                name.removeprefix(f"{bucket}/") for name in self.objects if name.startswith(f"{bucket}/{prefix}")
            )
        entries = "".join(f"<Contents><Key>{escape(key)}</Key></Contents>" for key in keys)
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"


class _Requests(Handler):
    s3: S3Server

    def _answer(self, status: int, body: bytes = b"", etag: str | None = None) -> None:
        self.answer(status, body, **({"etag": etag} if etag else {}))

    @property
    def _name(self) -> str:
        return unquote(urlsplit(self.path).path)[1:]

    def do_PUT(self) -> None:
        status = self.s3.put(self._name, self.body(), self.headers.get("if-match"), self.headers.get("if-none-match"))
        self._answer(status, etag=self.s3.etag(self._name))

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        if "list-type" in asked:
            return self._answer(200, self.s3.listed(self._name.strip("/"), asked.get("prefix", [""])[0]).encode())
        etag, body = self.s3.etag(self._name), self.s3.objects.get(self._name)
        if body is None:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        if self.headers.get("if-none-match") == etag:
            return self._answer(304, etag=etag)
        return self._answer(200, body, etag)

    def do_DELETE(self) -> None:
        self.s3.delete(self._name)
        self._answer(204)


@contextmanager
def s3_server() -> Iterator[str]:
    """Its URL."""
    with Server(_Requests, s3=S3Server()) as server:
        yield server.url
