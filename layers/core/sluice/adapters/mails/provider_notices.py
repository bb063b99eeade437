"""Bounces and complaints that mail providers post to a webhook, each proved as its provider does.

Sources, 2026: Postmark's "Webhooks" (Basic authentication), Mailgun's "Securing webhooks" (HMAC over timestamp and
token), Resend's "Verify webhooks" (Standard Webhooks, as by Svix: HMAC over id, timestamp and body).
"""

import hashlib
import hmac
import json
import logging
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from email.utils import parseaddr
from typing import Any

from sluice.domain.errors import NotAuthenticated, NotFound
from sluice.domain.mails.mail import Suppression

log = logging.getLogger("sluice.bounces")

FRESH_SECONDS = 300  # an older signature may have been recorded by somebody
Found = Iterator[tuple[str, Suppression]]
Header = Callable[[str], str]  # name → value, empty if it is missing
MALFORMED = (LookupError, TypeError, ValueError, AttributeError, RecursionError)


def posted(provider: str, secret: str, body: bytes, header: Header, now_s: float) -> list[tuple[str, Suppression]]:
    """The addresses to suppress, and why; none in a malformed notice, because a repetition would not help.

    Errors: NotFound (no such provider), NotAuthenticated.
    """
    if provider not in PROVIDERS:
        raise NotFound()
    proved, addresses = PROVIDERS[provider]
    try:
        is_proved = proved(secret, body, header, now_s)
    except MALFORMED:
        is_proved = False
    if not is_proved:
        raise NotAuthenticated()
    try:
        return [(parseaddr(address)[1], why) for address, why in addresses(json.loads(body))]
    except MALFORMED:
        log.error("malformed notice skipped")
        return []


def _by_password(secret: str, body: bytes, header: Header, now_s: float) -> bool:
    scheme, _, encoded = header("Authorization").partition(" ")
    password = b64decode(encoded, validate=True).partition(b":")[2]
    return scheme.lower() == "basic" and hmac.compare_digest(password, secret.encode())


def _by_signature_inside(secret: str, body: bytes, header: Header, now_s: float) -> bool:
    signed = json.loads(body)["signature"]
    mac = hmac.new(secret.encode(), (signed["timestamp"] + signed["token"]).encode(), hashlib.sha256)
    return _fresh(signed["timestamp"], now_s) and hmac.compare_digest(mac.hexdigest(), signed["signature"])


def _by_standard_webhooks(secret: str, body: bytes, header: Header, now_s: float) -> bool:
    sent_s = header("svix-timestamp")
    text = b".".join((header("svix-id").encode(), sent_s.encode(), body))
    key = b64decode(secret.removeprefix("whsec_"), validate=True)  # else anything of another alphabet were no key
    mac = b64encode(hmac.digest(key, text, hashlib.sha256)).decode()
    given = [one.removeprefix("v1,") for one in header("svix-signature").split(" ") if one.startswith("v1,")]
    return bool(key) and _fresh(sent_s, now_s) and any(hmac.compare_digest(mac, one) for one in given)


def _fresh(sent_s: str, now_s: float) -> bool:
    return abs(now_s - int(sent_s)) <= FRESH_SECONDS


def _of_postmark(notice: dict[str, Any]) -> Found:
    kind = notice["RecordType"] if notice["RecordType"] != "Bounce" else notice["Type"]
    if kind == "SpamComplaint":
        yield notice["Email"], "complaint"
    elif kind in ("HardBounce", "BadEmailAddress"):
        yield notice["Email"], "bounce"


def _of_mailgun(notice: dict[str, Any]) -> Found:
    """A permanent failure for another reason, such as spam or days without an answer, is not the address's."""
    event = notice["event-data"]
    if event["event"] == "complained":
        yield event["recipient"], "complaint"
    elif (event["event"], event.get("severity")) == ("failed", "permanent") and "bounce" in event["reason"]:
        yield event["recipient"], "bounce"


def _of_resend(notice: dict[str, Any]) -> Found:
    if notice["type"] == "email.complained":
        yield from ((address, "complaint") for address in notice["data"]["to"])
    elif notice["type"] == "email.bounced" and notice["data"]["bounce"]["type"] == "Permanent":
        yield from ((address, "bounce") for address in notice["data"]["to"])


Proved = Callable[[str, bytes, Header, float], bool]
PROVIDERS: Mapping[str, tuple[Proved, Callable[[dict[str, Any]], Found]]] = {
    "postmark": (_by_password, _of_postmark),
    "mailgun": (_by_signature_inside, _of_mailgun),
    "resend": (_by_standard_webhooks, _of_resend),
}
