"""Stripe, by its own library. Importing this imports the library, which takes half a second: only a first call does.

The library makes requests, reads answers and checks signatures; the exchange itself is ours, because it bounds the time
of a whole answer and its size.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import stripe

from sluice.adapters import outgoing
from sluice.domain.errors import InvalidJson, NotAuthenticated, PaymentUnavailable, Unavailable
from sluice.domain.payments import ACCOUNT, Checkout, NoCustomer, Notice, Payer, Subscription
from sluice.domain.webhooks import may_reach

log = logging.getLogger("sluice.payments")

MAX_BYTES = 1_048_576
BOUNDS = outgoing.Bounds(connect_seconds=2.0, seconds=5.0, most_bytes=MAX_BYTES + 1)
TOLERANCE_SECONDS = 300
PRICE = "sluice_price"  # in the metadata of a Checkout page
MOST_PAGES = 100
MISSING = "resource_missing"
NAMES_CUSTOMER = ("id", "customer")  # in the path, and in what is sent; what else may be missing has other names
LANGUAGES = {"en": "en", "ja": "ja", "zh-Hant": "zh-TW"}  # ours → Stripe's

stripe.enable_telemetry = False  # it would tell Stripe of this machine, and of the time of each call


class Exchange(stripe.HTTPClient):
    """One call: a few seconds and a megabyte at most, without redirects, to a public address or to loopback."""

    name = "sluice"

    def __init__(self, api: str) -> None:
        super().__init__()
        self._may_reach = None if api.startswith("http://") else lambda host: may_reach(host, allow_private=False)

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_: Any
    ) -> tuple[str, int, Mapping[str, str]]:
        try:
            status, raw = outgoing.exchange(
                method.upper(), url, headers or {}, post_data or None, BOUNDS, self._may_reach
            )
        except outgoing.ERRORS as exc:
            raise _unanswered(type(exc).__name__) from exc
        if len(raw) > MAX_BYTES:
            raise _unanswered("the answer is too long")
        return raw.decode("utf-8", "replace"), status, {}

    def close(self) -> None:
        pass


def _unanswered(why: str) -> stripe.APIConnectionError:
    return stripe.APIConnectionError(why)  # type: ignore[no-untyped-call]


class Stripe:
    """`sluice.ports.payments.PaymentService`. `key`, `secret`: read when needed, so that they can be replaced."""

    def __init__(self, api: str, key: Callable[[], str], secret: Callable[[], str]) -> None:
        self._key, self._secret = key, secret
        self._client = lru_cache(2)(
            lambda key: stripe.StripeClient(
                key, base_addresses={"api": api}, http_client=Exchange(api), max_network_retries=0
            )
        )

    @property
    def _v1(self) -> Any:
        return self._client(self._key()).v1

    def new_customer(self, account_id: str, email: str, key: str) -> str:
        about: Any = {"email": email, "metadata": {ACCOUNT: account_id}}
        with answering():
            return str(self._v1.customers.create(about, {"idempotency_key": key}).id)

    def subscriptions(self, customer: str) -> Sequence[Subscription]:
        with answering():
            found = self._customer(customer, {"expand": ["subscriptions"]})
            return [_subscription(one) for one in found["subscriptions"]["data"]]

    def account_of(self, customer: str) -> str:
        with answering():
            return str(self._customer(customer, {}).get("metadata", {}).get(ACCOUNT, ""))

    def _customer(self, customer: str, how: Any) -> Any:
        found = self._v1.customers.retrieve(customer, how).to_dict()
        if found.get("deleted"):
            raise NoCustomer()
        return found

    def open_checkouts(self, customer: str) -> Sequence[Checkout]:
        with answering():
            found = self._v1.checkout.sessions.list({"customer": customer, "status": "open", "limit": MOST_PAGES})
            return [_checkout(one) for one in found.to_dict()["data"]]

    def new_checkout(self, payer: Payer, price: str, back: str, language: str) -> Checkout:
        about = {ACCOUNT: payer.account_id, PRICE: price}
        wanted: Any = {
            "mode": "subscription",
            "customer": payer.customer,
            "client_reference_id": payer.account_id,
            "line_items": [{"price": price, "quantity": 1}],
            "success_url": f"{back}?note=paid",
            "cancel_url": back,
            "metadata": about,
            "subscription_data": {"metadata": {ACCOUNT: payer.account_id}},
            "locale": LANGUAGES.get(language, "auto"),
        }
        with answering():
            # The library makes an idempotency key of its own: one of ours would bring back a page that was closed.
            made = self._v1.checkout.sessions.create(wanted).to_dict()
            return Checkout(str(made["id"]), price, _address(made))

    def expire(self, checkout_id: str) -> None:
        with answering():
            pages = self._v1.checkout.sessions
            try:
                pages.expire(checkout_id)
            except stripe.InvalidRequestError:  # it is not open any more, which is all that is wanted; or it is
                if pages.retrieve(checkout_id).to_dict()["status"] == "open":
                    raise

    def portal(self, customer: str, back: str, language: str) -> str:
        wanted: Any = {"customer": customer, "return_url": back, "locale": LANGUAGES.get(language, "auto")}
        with answering():
            return _address(self._v1.billing_portal.sessions.create(wanted).to_dict())

    def delete_customer(self, customer: str) -> None:
        try:
            with answering():
                self._v1.customers.delete(customer)
        except NoCustomer:
            return

    def notice(self, body: bytes, signature: str) -> Notice:
        try:
            stripe.WebhookSignature.verify_header(body, signature, self._secret(), TOLERANCE_SECONDS)
        except (stripe.SignatureVerificationError, UnicodeDecodeError, TypeError) as exc:  # TypeError: not ASCII
            log.warning("an event that Stripe did not sign: %s", type(exc).__name__)
            raise NotAuthenticated("The signature is not Stripe's, or it is older than five minutes.") from exc
        except Unavailable as exc:
            raise PaymentUnavailable() from exc
        try:
            event = json.loads(body)
            about, kind = event["data"]["object"], str(event["type"])
            customer = about.get("customer") if about.get("object") != "customer" else about["id"]
            account_id = (about.get("metadata") or {}).get(ACCOUNT, "")
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as exc:
            raise InvalidJson("This is no event of Stripe's.") from exc
        return Notice(kind, str(account_id), customer if isinstance(customer, str) else "")


def _subscription(one: Mapping[str, Any]) -> Subscription:
    prices = tuple(str(item["price"]["id"]) for item in one["items"]["data"])
    return Subscription(str(one["id"]), str(one["status"]), prices, int(one["created"]))


def _checkout(one: Mapping[str, Any]) -> Checkout:
    return Checkout(str(one["id"]), str((one.get("metadata") or {}).get(PRICE, "")), str(one.get("url") or ""))


def _address(one: Mapping[str, Any]) -> str:
    if not str(one["url"]).startswith("https://"):
        raise ValueError("no address of a page")
    return str(one["url"])


@contextmanager
def answering() -> Iterator[None]:
    """Errors: PaymentUnavailable, NoCustomer."""
    try:
        yield
    except stripe.InvalidRequestError as exc:
        if exc.code == MISSING and exc.param in NAMES_CUSTOMER:
            raise NoCustomer() from exc
        quotes_address = exc.param == "email"
        log.error("Stripe refused: %s", exc.code if quotes_address else exc.user_message or exc)
        raise PaymentUnavailable() from exc
    except stripe.StripeError as exc:
        log.warning("Stripe did not answer: %s %s", type(exc).__name__, exc.code or exc.http_status or "")
        raise PaymentUnavailable() from exc
    except (Unavailable, LookupError, TypeError, ValueError, AttributeError) as exc:
        log.error("Stripe cannot be asked, or its answer is of no use: %s", type(exc).__name__)
        raise PaymentUnavailable() from exc
