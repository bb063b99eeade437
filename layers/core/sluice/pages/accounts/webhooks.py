"""The member's pages of webhooks, without script."""

from typing import Any

from flask import Response, request
from werkzeug.wrappers import Response as AnyResponse

from sluice.domain import errors
from sluice.domain.webhooks import EVENTS, MOST_GRACE_SECONDS, MOST_WEBHOOKS, TEST, Webhook
from sluice.http.accounts.visitor import visitor
from sluice.http.accounts.webhooks import ChangeWebhookBody, CreateWebhookBody
from sluice.http.auth import Caller, now_ms
from sluice.http.operation import validated
from sluice.pages import forms
from sluice.pages.blueprints import members, pages
from sluice.pages.render import page, see
from sluice.pages.words import later, noted
from sluice.wiring.webhooks import own_webhooks

blueprint = pages("webhook_pages")
HERE = "/my/account/webhooks"
NOTES = {
    "deleted": later("Webhook deleted."),
    "changed": later("Saved."),
    "tested": later("A test event is on its way. Reload this page to see what came of it."),
    "repeated": later("The event is on its way once more. Reload this page to see what came of it."),
    "enabled": later("Enabled. What waits is sent now."),
    "disabled": later("Disabled. Nothing is sent to it."),
    "refused": later("This could not be done, because the webhook or the event has changed. Look at it again."),
}
ABOUT = {
    "response.completed": later("A background response is ready."),
    "response.incomplete": later("A background response reached its limit of tokens."),
    "response.failed": later("A background response failed."),
    "response.cancelled": later("A background response was cancelled."),
    "batch.completed": later("A batch is ready."),
    "batch.failed": later("A batch failed."),
    "batch.expired": later("A batch was not ready in time."),
    "batch.cancelled": later("A batch was cancelled."),
    "quota.reached": later("80 %% or all of the month’s tokens are used."),
    "token.expiring": later("An API token expires in a week."),
}
STATES = {"waiting": later("waiting"), "delivered": later("delivered"), "failed": later("given up")}
WHY = {
    "owner": later("You disabled it."),
    "gone": later("Disabled, because its server answered that it is gone (410)."),
    "failing": later("Disabled, because its server took nothing for 24 hours."),
}


@blueprint.get(HERE)
@members
def webhooks(caller: Caller) -> Response:
    return _list_page(caller, 200, forms.Form(lists={"events": ["response.completed", "response.failed"]}))


@blueprint.post(HERE)
@members
def create(caller: Caller) -> Response:
    try:
        body = forms.posted(CreateWebhookBody, lists=["events"])
        made, secret = own_webhooks().create(caller.account_id, body.url, tuple(body.events), visitor())
    except (errors.ValidationFailed, errors.LimitReached) as exc:
        return _list_page(caller, *forms.refused(exc, "url"))
    return _shown_once(made, secret)


@blueprint.get(f"{HERE}/<webhook_id>")
@members
def webhook(caller: Caller, webhook_id: str) -> Response:
    return _page(caller, webhook_id, 200, None)


@blueprint.post(f"{HERE}/<webhook_id>")
@members
def change(caller: Caller, webhook_id: str) -> AnyResponse:
    """What its buttons say. One address, because each costs a line of a policy that has bounds."""
    wanted, mine = request.form.get("do", ""), own_webhooks()
    names = (caller.account_id, webhook_id)
    try:
        match wanted:
            case "delete":
                mine.delete(*names, visitor())
                return see(HERE, note="deleted")
            case "rotate":
                secret = mine.renew(*names, MOST_GRACE_SECONDS, visitor())
                return _shown_once(mine.get(*names), secret)
            case "test":
                mine.test(*names, now_ms())
            case "repeat":
                mine.repeat(*names, request.form.get("event", ""), now_ms())
            case "enable" | "disable":
                mine.change(*names, None, wanted == "enable", visitor())
            case _:
                body = validated(ChangeWebhookBody, {"events": request.form.getlist("events")})
                mine.change(*names, tuple(body.events or ()), None, visitor())
    except errors.ValidationFailed as exc:
        return _page(caller, webhook_id, *forms.refused(exc, "events"))
    except errors.Conflict:
        return see(f"{HERE}/{webhook_id}", note="refused")
    done = {"test": "tested", "repeat": "repeated", "enable": "enabled", "disable": "disabled"}.get(wanted, "changed")
    return see(f"{HERE}/{webhook_id}", note=done)


def _shown_once(made: Webhook, secret: str) -> Response:
    return page("webhook_secret.html", webhook=made, secret=secret)


def _list_page(caller: Caller, status: int, form: forms.Form) -> Response:
    found = own_webhooks().all(caller.account_id)
    shown: dict[str, Any] = {"webhooks": found, "events": EVENTS, "about": ABOUT, "most": MOST_WEBHOOKS}
    return page("webhooks.html", status, form=form, note=noted(NOTES), **shown)


def _page(caller: Caller, webhook_id: str, status: int, form: forms.Form | None) -> Response:
    found = own_webhooks().get(caller.account_id, webhook_id)
    shown: dict[str, Any] = {
        "webhook": found,
        "deliveries": own_webhooks().deliveries(caller.account_id, webhook_id),
        "events": EVENTS,
        "about": {**ABOUT, TEST: later("A test.")},
        "states": STATES,
        "why": WHY.get(found.why, ""),
        "form": form or forms.Form(lists={"events": list(found.events)}),
    }
    return page("webhook.html", status, note=noted(NOTES), **shown)
