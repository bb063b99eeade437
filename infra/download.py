"""A resumable HTTP download into `FILE.part`."""

import contextlib
import os
import shutil
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

import urllib3

CHUNK_BYTES = 1 << 18
ATTEMPTS = 5
TIMEOUT = urllib3.Timeout(connect=10, read=30)
SPARE_DISK_BYTES = 64 << 20
DISK_EVERY_BYTES = 64 << 20
RESUME = "run the same command to resume it."

Progress = Callable[[int, int | None], None]
"""Called with the downloaded bytes and the total bytes (None when unknown)."""


class DownloadError(Exception):
    """Why a download failed, as a sentence for the terminal."""


class _Changed(Exception):
    """The part file is not the beginning of the server's current file."""


def fetch(url: str, part: Path, progress: Progress) -> None:
    """Complete `part` from `url`, resuming an earlier download (Range, with If-Range on the recorded ETag).

    Without range support it starts again. A broken connection is resumed a few times. Raises DownloadError.
    """
    with _pool_for(url) as pool:
        for attempt in range(1, ATTEMPTS + 1):
            before = _size(part)
            try:
                _continue(pool, url, part, progress)
                return
            except _Changed:
                part.unlink(missing_ok=True)
                _etag_file(part).unlink(missing_ok=True)
            except (urllib3.exceptions.ProtocolError, urllib3.exceptions.ReadTimeoutError) as exc:
                if attempt == ATTEMPTS and _size(part) <= before:
                    raise DownloadError(f"The download broke off after {_size(part):,} bytes; {RESUME}") from exc
            except OSError as exc:
                raise DownloadError(
                    f"{part} cannot be written ({exc.strerror or exc}); free some room, then {RESUME}"
                ) from exc
            except urllib3.exceptions.HTTPError as exc:
                raise DownloadError(f"No connection to {_host(url)}: check the network ({_reason(exc)}).") from exc
    raise DownloadError(f"The download keeps breaking off; {RESUME}")


def _continue(pool: urllib3.PoolManager, url: str, part: Path, progress: Progress) -> None:
    have = _size(part)
    etag_file = _etag_file(part)
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if etag_file.is_file():
            headers["If-Range"] = etag_file.read_text("utf-8")
    retries = urllib3.Retry(connect=1, read=0, redirect=5, status=0, other=0)
    answer = pool.request("GET", url, headers=headers, preload_content=False, timeout=TIMEOUT, retries=retries)
    with contextlib.closing(answer) as response:
        refuse_downgrade(url, response)
        if response.status == 416 and response.headers.get("Content-Range") == f"bytes */{have}":
            return  # the part file is complete
        if response.status == 416:
            raise _Changed
        if response.status == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise _Changed
        if response.status not in (200, 206):
            raise DownloadError(f"{_host(url)} answered {response.status} for {_without_query(url)}.")
        start = have if response.status == 206 else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length is not None and length.isdigit() else None
        require_disk(part.parent, (total or start) - start)
        _record_etag(etag_file, response.headers.get("ETag"))
        _write(response, part, start, total, progress)


def _write(response: urllib3.BaseHTTPResponse, part: Path, start: int, total: int | None, progress: Progress) -> None:
    done = start
    progress(done, total)
    with part.open("ab" if start else "wb") as file:
        while chunk := response.read1(CHUNK_BYTES):  # read1: keeps incomplete chunks before a break
            file.write(chunk)
            if done // DISK_EVERY_BYTES != (done + len(chunk)) // DISK_EVERY_BYTES:
                require_disk(part.parent, 0)  # a server that tells no length may never end
            done += len(chunk)
            progress(done, total)
        file.flush()
        os.fsync(file.fileno())
    if total is not None and done < total:
        raise urllib3.exceptions.ProtocolError(f"{total - done} bytes are missing")


def _pool_for(url: str) -> urllib3.PoolManager:
    parts = urllib.parse.urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        return urllib3.ProxyManager(proxy)
    return urllib3.PoolManager()


def _record_etag(file: Path, etag: str | None) -> None:
    if etag and not etag.startswith("W/"):  # weak ones must not be used with If-Range (RFC 9110, 13.1.5)
        file.write_text(etag, "utf-8")
    else:
        file.unlink(missing_ok=True)


def require_disk(folder: Path, needed_bytes: int) -> None:
    """Raises DownloadError when the folder's disk has no room for so much more."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes + SPARE_DISK_BYTES:
        raise DownloadError(f"The disk of {folder} has {free:,} bytes free; {needed_bytes:,} more are needed.")


def _etag_file(part: Path) -> Path:
    return part.with_name(part.name + ".etag")


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def refuse_downgrade(url: str, response: urllib3.BaseHTTPResponse) -> None:
    """Whoever is on the way could answer in the place of a server that is asked without TLS."""
    history = response.retries.history if response.retries else ()
    if url.startswith("https:") and any((step.redirect_location or "").startswith("http:") for step in history):
        raise DownloadError(f"{_host(url)} redirects to an address without TLS, which is not used.")


def _without_query(url: str) -> str:
    """It may hold a signature."""
    return urllib.parse.urlsplit(url)._replace(query="").geturl()


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc


def _reason(exc: urllib3.exceptions.HTTPError) -> str:
    return type(getattr(exc, "reason", None) or exc).__name__
