"""The monthly quota: how much of it is used, and when its owner gets a mail."""

from sluice.domain.gateway.admission import Grant
from sluice.domain.mails.mail import Kind

# Percentage of the quota used → the kind of mail.
NOTICES = ((80, Kind.QUOTA_80), (100, Kind.QUOTA_100))


def used_tokens(grant: Grant) -> int:
    """The month's model tokens of settled requests, without reserved ones, because these may be given back."""
    reserved = sum(lease.reserved_tokens for lease in grant.leases.values() if lease.period == grant.period)
    return max(0, grant.period_tokens - reserved)


def notices_due(grant: Grant, *, refused: bool = False) -> list[Kind]:
    """Every notice whose percentage is reached. `refused`: a request exceeded the rest, so the quota counts as used up.

    A quota of 0 gives no notice.
    """
    limit = grant.limits.monthly_tokens
    if limit == 0:
        return []
    used = used_tokens(grant)
    return [kind for percent, kind in NOTICES if used * 100 >= limit * percent or (refused and percent == 100)]
