"""A run: a request whose work outlives its connection (ADR 120). Its id is its request id.

queued ── claimed ── in_progress ──► completed │ incomplete │ failed │ cancelled
             ▲           │ its process died: the next attempt takes its lease over
             └───────────┘
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sluice.domain.ids import request_time_ms

Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
LIVE: tuple[Status, ...] = ("queued", "in_progress")
MOST_LIVE = 100  # an account's
MOST_DEATHS = 3  # of attempts, after which the run fails
QUEUED_MS = 3_600_000  # how long a run may wait for its account's limits and for the model
OVER_MS = 2 * QUEUED_MS  # how long any may take; older ones have lost their message
KEPT_SECONDS = 86_400  # of the row, and of the events
EVENTS_AN_ATTEMPT = 1_000_000  # sequence numbers that each attempt has for itself
LOST = {"code": "server_error", "message": "The response was lost. Send the request again."}
RESPONSE_ID = re.compile(r"resp_([0-9a-hjkmnp-tv-z]{26})(\d{4})")


@dataclass(frozen=True)
class Run:
    """`place`: the end of its response's id. `epoch`: how often its lease was given. `deaths`: of attempts.
    `keeps_events`: False where the account keeps no content: then only the final answer is stored, until it is
    fetched. `ask`: of an answer in a chat, what is asked, as JSON; it is executed at once, and by a worker only if its
    process died. `followed`: whether others than its caller read its events."""

    account_id: str
    run_id: str
    place: str
    status: Status = "queued"
    epoch: int = 0
    deaths: int = 0
    keeps_events: bool = True
    ask: str = ""
    followed: bool = False

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def response_id(self) -> str:
        return "resp_" + self.run_id.removeprefix("req_").lower() + self.place

    @property
    def created_ms(self) -> int:
        return request_time_ms(self.run_id)

    @property
    def first_event(self) -> int:
        """The sequence number of this attempt's first event."""
        return self.deaths * EVENTS_AN_ATTEMPT

    def is_lost(self, now_ms: int) -> bool:
        return self.is_live and now_ms - self.created_ms > OVER_MS


def run_of(identifier: str) -> str | None:
    """The run that makes a response; None for a response that no run makes."""
    match = RESPONSE_ID.fullmatch(identifier)
    return "req_" + match[1].upper() if match else None


def as_it_stands(response: Mapping[str, Any], run: Run | None, now_ms: int) -> dict[str, Any]:
    """A stored response with the status of its run, whose row lives for a day."""
    if run is not None and (run.status == "cancelled" or (run.is_live and not run.is_lost(now_ms))):
        return {**response, "status": run.status}
    return {**response, "status": "failed", "error": LOST} if response.get("status") in LIVE else dict(response)
