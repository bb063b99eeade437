import pytest

from sluice.domain.gateway.admission import Grant, Limits
from sluice.domain.gateway.ratelimit_headers import duration, headers

NOW_NS = 1_800_000_000_000_000_000
MS = 1_000_000


@pytest.mark.parametrize(
    ("nanoseconds", "written"),
    [
        (0, "0ms"),
        (1, "1ms"),
        (120 * MS, "120ms"),
        (1000 * MS, "1s"),
        (8640 * MS, "8.64s"),
        (360_000 * MS, "6m0s"),
        (3_602_000 * MS, "1h0m2s"),
    ],
)
def test_durations_have_openais_format(nanoseconds: int, written: str) -> None:
    assert duration(nanoseconds) == written


def test_headers_give_the_remaining_amount_and_the_time_until_full() -> None:
    grant = Grant("usr_a", {}, "good", Limits(60, 600, 4, 1000), tat_requests_ns=NOW_NS + 2 * 10**9, tat_tokens_ns=0)
    told = headers(grant, NOW_NS)
    assert told["x-ratelimit-limit-requests"] == "60"
    assert told["x-ratelimit-remaining-requests"] == "58"
    assert told["x-ratelimit-reset-requests"] == "2s"
    assert told["x-ratelimit-remaining-tokens"] == "600"
    assert told["x-ratelimit-reset-tokens"] == "0ms"
    assert told["RateLimit-Policy"] == '"requests";q=60;w=60, "tokens";q=600;w=60'
    assert told["RateLimit"] == '"requests";r=58;t=2, "tokens";r=600;t=0'
