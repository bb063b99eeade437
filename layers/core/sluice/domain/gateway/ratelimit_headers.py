"""Rate-limit headers: OpenAI's (`x-ratelimit-*`) and the IETF draft's (draft-ietf-httpapi-ratelimit-headers-10)."""

from sluice.domain.gateway.admission import Grant, TokenUse
from sluice.domain.gateway.buckets import SECOND_NS, full_in_ns, remaining_units
from sluice.domain.gateway.publishable import day_left_seconds


def duration(nanoseconds: int) -> str:
    """OpenAI's format: `120ms`, `1s`, `8.64s`, `6m0s`, `1h0m2s`. Rounded up to a millisecond."""
    milliseconds = -(-nanoseconds // 1_000_000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest_ms = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest_ms / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + seconds


def headers(grant: Grant, now_ns: int) -> dict[str, str]:
    """The remaining units of each bucket, and when it is full again."""
    result: dict[str, str] = {}
    policies, states = [], []
    for name, limit, tat_ns in (
        ("requests", grant.limits.rpm, grant.tat_requests_ns),
        ("tokens", grant.limits.tpm, grant.tat_tokens_ns),
    ):
        remaining, reset_ns = remaining_units(tat_ns, limit, now_ns), full_in_ns(tat_ns, now_ns)
        result[f"x-ratelimit-limit-{name}"] = str(limit)
        result[f"x-ratelimit-remaining-{name}"] = str(remaining)
        result[f"x-ratelimit-reset-{name}"] = duration(reset_ns)
        policies.append(f'"{name}";q={limit};w=60')
        states.append(f'"{name}";r={remaining};t={-(-reset_ns // SECOND_NS)}')
    result["RateLimit-Policy"] = ", ".join(policies)
    result["RateLimit"] = ", ".join(states)
    return result


def of_visitor(use: TokenUse | None, rpm: int, tat_ns: int, now_ns: int) -> dict[str, str]:
    """For a visitor of a publishable API token: `requests` are the visitor's of a minute (`rpm` 0: not told),
    `requests-day` those of all visitors of a UTC day."""
    result: dict[str, str] = {}
    if rpm:
        result["x-ratelimit-limit-requests"] = str(rpm)
        result["x-ratelimit-remaining-requests"] = str(remaining_units(tat_ns, rpm, now_ns))
        result["x-ratelimit-reset-requests"] = duration(full_in_ns(tat_ns, now_ns))
    if use is not None and use.public is not None:
        used = use.day_requests if use.charged_day(now_ns) == use.day else 0
        result["x-ratelimit-limit-requests-day"] = str(use.public.daily_requests)
        result["x-ratelimit-remaining-requests-day"] = str(max(0, use.public.daily_requests - used))
        result["x-ratelimit-reset-requests-day"] = duration(day_left_seconds(now_ns) * SECOND_NS)
    return result
