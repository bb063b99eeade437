"""`/webhooks…`: addresses of the account that are told of its events. And payment, whose events come by a webhook of
Stripe's: `/account/plan`, `/my/plan`, `/payments/stripe`."""

from functools import partial

from flask import Blueprint, request

from sluice.domain import errors
from sluice.domain.payments import NoPayment
from sluice.http.accounts.plans import PaymentPage, PlanChangeBody, PlanList
from sluice.http.accounts.visitor import visitor
from sluice.http.accounts.webhooks import (
    ChangeWebhookBody,
    CreatedWebhook,
    CreateWebhookBody,
    DeliveryInfo,
    DeliveryList,
    NewSecret,
    RotateSecretBody,
    TestSent,
    WebhookInfo,
    WebhookList,
)
from sluice.http.auth import Caller, now_ms
from sluice.http.on_lambda import lambda_handler
from sluice.http.operation import Auth, operation, raw_body
from sluice.pages.accounts import plans as plan_pages
from sluice.pages.accounts import webhooks as webhook_pages
from sluice.wiring.payments import payments, service
from sluice.wiring.settings import payment, terms
from sluice.wiring.webhooks import own_webhooks

blueprint = Blueprint("webhooks", __name__)
blueprint.register_blueprint(webhook_pages.blueprint)
blueprint.register_blueprint(plan_pages.blueprint)
documented = partial(operation, tag="Webhooks", auth=Auth.SESSION)
NAMED = (errors.NotFound, errors.StoreUnavailable)


@blueprint.post("/webhooks")
@documented(
    "Make a webhook",
    status=201,
    errors=(errors.LimitReached, errors.StoreUnavailable),
    description="Events are sent by POST, signed as Standard Webhooks says, at least once each and for 24 hours. "
    "Redirects are not followed. The secret is in this answer only.",
)
def create(caller: Caller, body: CreateWebhookBody) -> CreatedWebhook:
    made, secret = own_webhooks().create(caller.account_id, body.url, tuple(body.events), visitor())
    return CreatedWebhook.with_secret(made, secret)


@blueprint.get("/webhooks")
@documented("One's webhooks, oldest first", errors=(errors.StoreUnavailable,))
def all_of_them(caller: Caller) -> WebhookList:
    return WebhookList(data=[WebhookInfo.of(one) for one in own_webhooks().all(caller.account_id)])


@blueprint.get("/webhooks/<webhook_id>")
@documented("One webhook", errors=NAMED)
def get(caller: Caller, webhook_id: str) -> WebhookInfo:
    return WebhookInfo.of(own_webhooks().get(caller.account_id, webhook_id))


@blueprint.patch("/webhooks/<webhook_id>")
@documented("Choose its events anew; disable or enable it", errors=NAMED)
def change(caller: Caller, webhook_id: str, body: ChangeWebhookBody) -> WebhookInfo:
    events = None if body.events is None else tuple(body.events)
    return WebhookInfo.of(own_webhooks().change(caller.account_id, webhook_id, events, body.enabled, visitor()))


@blueprint.delete("/webhooks/<webhook_id>")
@documented("Delete it with its deliveries", errors=NAMED)
def delete(caller: Caller, webhook_id: str) -> None:
    own_webhooks().delete(caller.account_id, webhook_id, visitor())


@blueprint.post("/webhooks/<webhook_id>/test")
@documented("Send it an event `webhook.test`", status=202, errors=(errors.Conflict, *NAMED))
def test(caller: Caller, webhook_id: str) -> TestSent:
    return TestSent(event_id=own_webhooks().test(caller.account_id, webhook_id, now_ms()).event_id)


@blueprint.post("/webhooks/<webhook_id>/rotate")
@documented("Give it a new secret", errors=(errors.Conflict, *NAMED))
def rotate(caller: Caller, webhook_id: str, body: RotateSecretBody) -> NewSecret:
    return NewSecret(secret=own_webhooks().renew(caller.account_id, webhook_id, body.grace_seconds, visitor()))


@blueprint.get("/webhooks/<webhook_id>/deliveries")
@documented("What it was told, and what waits", errors=NAMED)
def deliveries(caller: Caller, webhook_id: str) -> DeliveryList:
    found = own_webhooks().deliveries(caller.account_id, webhook_id)
    return DeliveryList(data=[DeliveryInfo.of(one) for one in found])


@blueprint.post("/webhooks/<webhook_id>/deliveries/<event_id>/repeat")
@documented("Send an event once more that was delivered, or given up", status=202, errors=(errors.Conflict, *NAMED))
def repeat(caller: Caller, webhook_id: str, event_id: str) -> TestSent:
    own_webhooks().repeat(caller.account_id, webhook_id, event_id, now_ms())
    return TestSent(event_id=event_id)


# --- payment


@blueprint.get("/account/plan")
@operation(
    "The plans that are for sale, and one's own",
    tag="Account",
    auth=Auth.SESSION,
    errors=(errors.NotFound, errors.StoreUnavailable),
    description="404 where nothing is paid.",
)
def plans(caller: Caller) -> PlanList:
    if payment() is None:
        raise NoPayment()
    return PlanList.of(payments().payer(caller.account_id), terms())


@blueprint.post("/account/plan")
@operation(
    "Pay for a plan",
    tag="Account",
    auth=Auth.SESSION,
    errors=(
        errors.NotFound,
        errors.Conflict,
        errors.TooManyAttempts,
        errors.PaymentUnavailable,
        errors.StoreUnavailable,
    ),
    description="Gives the address of a page of Stripe's: Checkout; or its customer portal where the account pays "
    "already, or without `plan`. The plan follows the subscription, moments after it changes. Earlier pages of "
    "Checkout for another plan are closed.",
)
def pay(caller: Caller, body: PlanChangeBody) -> PaymentPage:
    return PaymentPage(url=plan_pages.page_of_stripe(caller, body.plan or ""))


@blueprint.post("/payments/stripe")
@operation(
    "Tell of an event of Stripe's",
    tag="Operation",
    answers={204: None},
    errors=(errors.NotFound, errors.NotAuthenticated, errors.InvalidJson, errors.Unavailable, errors.StoreUnavailable),
    description="For Stripe's webhook, by its signature. Repetitions and wrong order change nothing, because the "
    "subscription is looked up. After a 503 Stripe sends it again. 404 where nothing is paid.",
)
def stripe_event() -> None:
    payments().heard(service().notice(raw_body(), request.headers.get("Stripe-Signature", "")))


handler = lambda_handler(blueprint)
