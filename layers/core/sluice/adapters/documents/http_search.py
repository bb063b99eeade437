"""Calls `functions/search` over HTTP. On AWS the requests are signed."""

import time
from dataclasses import asdict
from typing import Protocol

from sluice.domain.documents.document import Passage
from sluice.domain.errors import SearchUnavailable, SluiceError
from sluice.domain.ids import request_id
from sluice.ports.documents import SearchRequest
from sluice.ports.gateway import UpstreamCall

PATH = "/search"
DEADLINE_SECONDS = 20.0


class _Fetch(Protocol):
    def fetch(self, call: UpstreamCall) -> dict[str, object]: ...


class HttpSearch:
    """`sluice.ports.documents.Search`."""

    def __init__(self, http: _Fetch) -> None:
        self._http = http

    def search(self, request: SearchRequest) -> list[Passage]:
        body = {**asdict(request), "store_ids": list(request.store_ids)}
        if (file_ids := body.pop("file_ids")) is not None:
            body["file_ids"] = list(file_ids)
        call = UpstreamCall(PATH, body, request_id(time.time_ns() // 1_000_000), request.account_id, DEADLINE_SECONDS)
        try:
            answer = self._http.fetch(call)
            found = answer["data"]
            if not isinstance(found, list):
                raise TypeError
            return [Passage(**one) for one in found]
        except (SluiceError, LookupError, TypeError) as exc:
            raise SearchUnavailable() from exc
