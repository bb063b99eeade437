"""Logged prompts and answers: stored apart from the ledger, cut to size, and for a limited time."""

from typing import NamedTuple

from sluice.frozen import frozen

MAX_TEXT_BYTES = 16 * 1024  # of UTF-8, including the mark of the cut
CUT_MARK = "… [cut]"
DAY_S = 24 * 60 * 60


@frozen
class LoggedContent:
    """The prompt and the answer of one request, for the account's log."""

    prompt: str
    response: str


class Kept(NamedTuple):
    """What is logged of a request, when, and until when (Unix seconds)."""

    content: LoggedContent
    now_ms: int
    expires_s: int


def cut(text: str, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """At most `max_bytes` of UTF-8, without a partial character. A cut text ends with a mark.

    A lone surrogate, which JSON allows but UTF-8 does not, becomes `?`.
    """
    raw = text.encode("utf-8", "replace")
    if len(raw) <= max_bytes:
        return raw.decode()
    room = max_bytes - len(CUT_MARK.encode())
    return raw[:room].decode("utf-8", "ignore") + CUT_MARK  # "ignore" drops an incomplete last character


def expires_s(now_ms: int, retention_days: int) -> int:
    """When content expires, in Unix seconds. It is hidden at once and deleted some time later."""
    return now_ms // 1000 + retention_days * DAY_S
