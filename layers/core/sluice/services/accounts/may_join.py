"""Who may have an account: `[site] sign_up` of the owner's settings, asked whenever one is made.

An account is made when its address is verified, so the settings of that moment decide, not those of its registration.
"""

from typing import Any

from sluice.domain.accounts.account import Account, Address, lower
from sluice.domain.errors import Forbidden
from sluice.domain.phrases import phrase

CLOSED = phrase("Sign-up is closed.")
BY_INVITATION = phrase("Sign-up is by invitation.")


def may_join(site: Any, address: Address, account: Account | None, now_ms: int) -> None:
    """Errors: Forbidden, saying why nobody may make an account with this address now.

    `site`: its `sign_up` and `sign_up_domains`. `account`: the unverified one of this address whose invitation counts.
    Pass it only for a person who has proven that the address is theirs: for others an invited address must look like
    any other.
    """
    if why := refusal(site, address, account, now_ms):
        raise Forbidden(why)


def refusal(site: Any, address: Address, account: Account | None, now_ms: int) -> str:
    """As `may_join`: the reason, or empty."""
    return why_not(site, account, now_ms) or domain_problem(site, address, account, now_ms)


def why_not(site: Any, account: Account | None, now_ms: int) -> str:
    """As `may_join`, but for every address."""
    if site.sign_up == "closed":
        return CLOSED
    return BY_INVITATION if site.sign_up == "invited" and not _is_invited(account, now_ms) else ""


def domain_problem(site: Any, address: Address, account: Account | None, now_ms: int) -> str:
    """What is wrong with the address's domain; an invited address may have any."""
    of_address = {lower(one.rpartition("@")[2]) for one in (address.key, address.given)}  # both forms of IDNA
    known = site.sign_up_domains if site.sign_up == "domains" else ()
    if not known or not of_address.isdisjoint(map(lower, known)) or _is_invited(account, now_ms):
        return ""
    return phrase("Only addresses of these domains may be used here: %(domains)s.", domains=", ".join(known))


def _is_invited(account: Account | None, now_ms: int) -> bool:
    return account is not None and account.is_invited(now_ms)
