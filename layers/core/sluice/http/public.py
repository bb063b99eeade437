"""Answers that are the same for everybody: kept by clients, not sent again while unchanged, gzipped.

They are gzipped here and not by API Gateway alone, so that one machine sends as little. No other answer is: it is
small, or a visitor's text and a secret in one compressed page would show by its length how alike they are (BREACH).
"""

import gzip
from functools import lru_cache

from flask import Response, request

SMALL_BYTES = 1024  # below it gzip saves less than its header
KEPT = 32  # compressed files in memory; there are some twenty


def public(body: bytes, media_type: str, cached_seconds: int) -> Response:
    """Or 304, to a client whose copy is the same."""
    packed = len(body) >= SMALL_BYTES and request.accept_encodings["gzip"] > 0
    response = Response(_packed(body) if packed else body, mimetype=media_type)
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = f"public, max-age={cached_seconds}"
    response.add_etag()
    response.make_conditional(request)
    return response


@lru_cache(KEPT)
def _packed(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)  # without the time, so that every process gives the same ETag
