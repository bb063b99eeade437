"""The member's page of plans: what each allows, and two ways to Stripe's pages."""

from contextlib import suppress

from flask import Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from sluice.domain import errors
from sluice.domain.payments import NoPayment
from sluice.http.accounts.plans import offered
from sluice.http.auth import Caller
from sluice.pages import forms
from sluice.pages.blueprints import members, pages
from sluice.pages.render import page
from sluice.pages.words import language, later, noted
from sluice.wiring import peers
from sluice.wiring.payments import payments
from sluice.wiring.settings import payment, terms

blueprint = pages("plan_pages")
HERE = "/my/plan"
PAID = "paid"
NOTES = {PAID: later("Thank you. If your plan has not changed yet, it will within a minute: reload this page.")}
# Browsers hold the redirects of a form to `form-action`.
STRIPE = ("https://checkout.stripe.com", "https://billing.stripe.com")


@blueprint.get(HERE)
@members
def plans(caller: Caller) -> Response:
    if payment() is None:
        raise NoPayment()
    if request.args.get("note") == PAID and not payments().payer(caller.account_id).paid:
        with suppress(errors.Unavailable, errors.TooManyAttempts):
            payments().look(caller.account_id)  # the event that says so may be late
    return _page(caller, 200, forms.Form())


@blueprint.post(HERE)
@members
def choose(caller: Caller) -> AnyResponse:
    try:
        return redirect(page_of_stripe(caller, request.form.get("plan", "")), 303)
    except (errors.ValidationFailed, errors.Conflict, errors.PaymentUnavailable, errors.TooManyAttempts) as exc:
        return _page(caller, *forms.refused(exc, "plan"))


def page_of_stripe(caller: Caller, plan: str) -> str:
    """Where a plan is paid for; without one, where payment is managed. Errors: as `Payments.checkout` and `portal`."""
    if payment() is None:
        raise NoPayment()
    back = peers.base_url() + HERE
    if not plan:
        return payments().portal(caller.account_id, back, language())
    return payments().checkout(caller.account_id, plan, back, language())


def _page(caller: Caller, status: int, form: forms.Form) -> Response:
    payer, known = payments().payer(caller.account_id), terms()
    return page(
        "plans.html",
        status,
        leads_to=STRIPE,
        form=form,
        note=noted(NOTES),
        payer=payer,
        current=payer.plan if payer.plan in known.plans else known.default_plan,
        plans=[(name, known.plans[name]) for name in offered(payer, known)],
    )
