"""Rate-limit headers: OpenAI's (`x-ratelimit-*`) and the IETF draft's (draft-ietf-httpapi-ratelimit-headers-10)."""

from sluice.domain.gateway.admission import Grant
from sluice.domain.gateway.buckets import SECOND_NS, full_in_ns, remaining_units


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
