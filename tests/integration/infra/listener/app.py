"""A small app of ours for the listener's tests: `create_app()`."""

import threading
import time
from collections.abc import Iterator

from flask import Blueprint, Flask, Response, request

from sluice.domain import errors
from sluice.http.app import create_app as create_sluice_app
from sluice.http.errors import reading_body

blueprint = Blueprint("listener", __name__)
released = threading.Event()


@blueprint.get("/healthz")
def healthz() -> Response:
    return Response("well")


@blueprint.post("/echo")
@blueprint.post("/v1/echo")
def echo() -> Response:
    return Response(f"{sum(map(len, iter(lambda: request.stream.read(65_536), b'')))} bytes")


@blueprint.post("/v1/files")
@blueprint.post("/v1/uploads/<upload_id>/parts")
def files(upload_id: str = "") -> Response:
    """A route that reads large bodies while they arrive, of callers that it knows."""
    if "HTTP_AUTHORIZATION" not in request.environ:
        raise errors.NotAuthenticated()
    request.max_content_length = 32 << 20
    with reading_body():
        return Response(f"{sum(map(len, iter(lambda: request.stream.read(65_536), b'')))} bytes")


@blueprint.get("/large")
def large() -> Response:
    return Response(b"0123456789" * 50_000)


@blueprint.get("/huge")
def huge() -> Response:
    """Fifty times what the listener keeps."""
    return Response(b"0123456789" * 100_000 for _ in range(50))


@blueprint.post("/held")
def held() -> Response:
    """Its answer ends after `/release`."""

    def parts() -> Iterator[bytes]:
        yield b"begun"
        released.wait(60)
        yield b"ended"

    request.get_data()
    return Response(parts())


@blueprint.post("/release")
def release() -> Response:
    released.set()
    return Response()


@blueprint.post("/refused")
def refused() -> Response:
    raise errors.NotAuthenticated()


@blueprint.get("/stream")
def stream() -> Response:
    def parts() -> Iterator[bytes]:
        for number in range(5):
            yield f"part {number}\n".encode()
            time.sleep(0.3)

    return Response(parts())


def create_app() -> Flask:
    return create_sluice_app([blueprint])
