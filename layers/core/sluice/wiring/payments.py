"""Payment: the use cases, bound to their stores once a process, and to the service that the settings name."""

from __future__ import annotations  # a function imports only the use cases that it serves

from typing import TYPE_CHECKING

from sluice.once import once
from sluice.wiring import peers, stores

if TYPE_CHECKING:
    from sluice.domain.settings.owners import Payment
    from sluice.ports.payments import PaymentService
    from sluice.services.payments import Payments


@once
def payments() -> Payments:
    from sluice.services.payments import Payments
    from sluice.wiring.settings import newest_terms

    return Payments(
        stores.payer_store(),
        stores.account_store(),
        stores.audit_log(),
        stores.throttles(),
        service,
        newest_terms,
        peers.now_ms,
    )


def service() -> PaymentService:
    """That of the settings in force. Errors: NoPayment."""
    from sluice.domain.payments import NoPayment
    from sluice.wiring.settings import payment

    if (wanted := payment()) is None:
        raise NoPayment()
    return _services()(wanted)


@once
def _services() -> _Services:
    return _Services()


class _Services:
    """Keeps one while the settings stay the same."""

    def __init__(self) -> None:
        self._built: tuple[Payment, PaymentService] | None = None

    def __call__(self, wanted: Payment) -> PaymentService:
        if (built := self._built) is None or built[0] != wanted:
            from sluice.adapters.gateway.upstream_keys import key_at
            from sluice.adapters.payments.stripe_service import Stripe

            made = Stripe(wanted.api, key_at(wanted.key or ""), key_at(wanted.webhook_secret or ""))
            self._built = built = wanted, made
        return built[1]
