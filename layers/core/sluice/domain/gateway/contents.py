"""What people wrote and what the model answered: kept apart from the ledger, cut, and only for a while."""

from dataclasses import dataclass

MAX_TEXT_BYTES = 16 * 1024  # of UTF-8, the mark of the cut included
CUT_MARK = "… [cut]"
DAY_S = 24 * 60 * 60


@dataclass(frozen=True)
class LoggedContent:
    """The prompt of one request and the answer, as the account's log keeps them."""

    prompt: str
    response: str


def cut(text: str, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """At most `max_bytes` of UTF-8, never half a character; a text that was cut says so at its end.

    A lone surrogate, which JSON can bring and UTF-8 cannot hold, becomes `?`.
    """
    raw = text.encode("utf-8", "replace")
    if len(raw) <= max_bytes:
        return raw.decode()
    room = max_bytes - len(CUT_MARK.encode())
    return raw[:room].decode("utf-8", "ignore") + CUT_MARK  # ignore: only the last character can be incomplete


def expires_s(now_ms: int, retention_days: int) -> int:
    """When content is not shown any more (and deleted some time later), in epoch seconds."""
    return now_ms // 1000 + retention_days * DAY_S
