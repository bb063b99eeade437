"""The month's quota: how much of it is used, and when its owner gets a mail."""

from sluice.domain.gateway.admission import Grant
from sluice.domain.mails.mail import Kind

# Percent of the month's tokens → the mail that says so.
NOTICES = ((80, Kind.QUOTA_80), (100, Kind.QUOTA_100))


def used_tokens(grant: Grant) -> int:
    """What the grant's month was charged for settled requests: what running ones reserved may yet be given back."""
    reserved = sum(lease.reserved_tokens for lease in grant.leases.values() if lease.period == grant.period)
    return max(0, grant.period_tokens - reserved)


def notices_due(grant: Grant, *, refused: bool = False) -> list[Kind]:
    """Every notice whose share is reached. `refused`: a request did not fit any more, so the quota is used up for it.

    A quota of 0 was never given, so it is never used up either.
    """
    limit = grant.limits.monthly_tokens
    if limit == 0:
        return []
    used = used_tokens(grant)
    return [kind for percent, kind in NOTICES if used * 100 >= limit * percent or (refused and percent == 100)]
