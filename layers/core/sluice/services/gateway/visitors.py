"""Visitors of a page with a publishable API token: judged before their request is read, and again by its admission."""

from dataclasses import dataclass
from typing import NoReturn

from sluice.domain.errors import VisitorLimitReached
from sluice.domain.gateway import buckets
from sluice.domain.gateway.admission import Grant, is_welcome
from sluice.domain.gateway.decision import origin_refused
from sluice.domain.gateway.publishable import PublicTerms, visitor_key
from sluice.domain.tokens import Claims
from sluice.ports.gateway import Visit, Visits
from sluice.services.gateway.gateway import Gateway


@dataclass(frozen=True)
class Visitors:
    gateway: Gateway
    visits: Visits

    def terms(self, claims: Claims) -> PublicTerms:
        """Of a publishable token, if `claims.origin` may use it. By the grant as this process saw it last, and if that
        refuses it, as it is in the store. Errors: Forbidden, InvalidApiToken, AccountSuspended, StoreUnavailable."""
        seen = self.gateway.admission.seen(claims.account_id)
        terms = _terms(seen, claims) if seen else None
        return terms or self.current_terms(claims)

    def current_terms(self, claims: Claims) -> PublicTerms:
        """By the grant as it is in the store: for requests that are not admitted. Errors: as `terms`."""
        terms = _terms(self.gateway.check_caller(claims), claims)
        if terms is None:
            raise origin_refused(claims.origin)
        return terms

    def charge(self, terms: PublicTerms, network: str) -> Visit:
        """Count one request of the visitor at this network address. Errors: StoreUnavailable."""
        return self.visits.take(visitor_key(terms, network), terms.visitor_rpm, self.gateway.clock())

    def refuse(self, terms: PublicTerms, visit: Visit) -> NoReturn:
        """Call `current_terms` before, whose errors come first. Raises VisitorLimitReached."""
        charged_ns = buckets.charge_ns(1, terms.visitor_rpm)
        wait_ns = buckets.wait_ns(visit.tat_ns, charged_ns, self.gateway.clock())
        raise VisitorLimitReached(-(-wait_ns // buckets.SECOND_NS), terms.visitor_rpm)


def _terms(grant: Grant, claims: Claims) -> PublicTerms | None:
    use = grant.token_limits.get(claims.family or claims.token_id)
    return use.public if use and is_welcome(use, claims.origin) else None
