"""A parameter store over HTTP, from which a function reads its keys. It knows only `GetParameter`."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.servers import Handler, Server

JSON = "application/x-amz-json-1.1"


@contextmanager
def parameters(values: Mapping[str, str]) -> Iterator[str]:
    """Yields its address. It answers a name that is not in `values` as AWS does."""

    class Requests(Handler):
        def do_POST(self) -> None:
            asked = json.loads(self.body())
            assert self.headers["X-Amz-Target"] == "AmazonSSM.GetParameter"
            assert self.headers["Authorization"].startswith("AWS4-HMAC-SHA256 ")
            value = values.get(asked["Name"])
            if value is None:
                self.answer(400, {"__type": "ParameterNotFound", "message": asked["Name"]}, content_type=JSON)
            else:
                found = {"Name": asked["Name"], "Value": value, "Version": 1}
                self.answer(200, {"Parameter": found}, content_type=JSON)

    with Server(Requests) as server:
        yield server.url
