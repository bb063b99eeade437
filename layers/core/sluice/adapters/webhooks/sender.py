"""Sends an event by POST, to addresses that may be reached. What the receiver answers beside its status is not read."""

from collections.abc import Callable
from functools import partial

from sluice.adapters import outgoing
from sluice.domain.webhooks import Event, Told, may_reach, parse_url

BOUNDS = outgoing.Bounds(connect_seconds=3.0, seconds=10.0, most_bytes=0)
HEADERS = {"content-type": "application/json", "user-agent": "sluice-webhooks/1"}


class HttpSender:
    """`sluice.ports.webhooks.WebhookSender`. `allow_private`: the owner's setting, asked at each attempt."""

    def __init__(self, allow_private: Callable[[], bool]) -> None:
        self._allow_private = allow_private

    def send(self, url: str, event: Event, headers: dict[str, str]) -> Told:
        allow_private = self._allow_private()
        allowed = partial(may_reach, allow_private=allow_private)
        try:
            parse_url(url, allow_private=allow_private)
            status, _ = outgoing.exchange("POST", url, {**HEADERS, **headers}, event.body(), BOUNDS, allowed)
        except outgoing.ERRORS as exc:
            return Told(None, type(exc).__name__)
        return Told(status, "" if 200 <= status < 300 else f"status {status}")
