"""`GET /_local/outbox?to=ADDRESS`: the mails of a local run, for this machine only.

Absent (404) unless `SLUICE_MAIL=outbox`; then the launcher refuses any other address than loopback, and this refuses
any other client, and any web page that a browser on this machine happens to show.
"""

import ipaddress

from flask import Blueprint, request
from pydantic import BaseModel

from sluice import settings
from sluice.adapters.mails.outbox import Outbox
from sluice.domain.errors import NotFound
from sluice.http.operation import operation

blueprint = Blueprint("outbox", __name__)
LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})


class OutboxQuery(BaseModel):
    to: str | None = None


class OutboxMail(BaseModel):
    to: str
    subject: str
    text: str
    html: str
    kind: str
    message_id: str
    sent_at: str


class OutboxMails(BaseModel):
    data: list[OutboxMail]


@blueprint.get("/_local/outbox")
@operation(
    "The mails of a local run", tag="Operation", query=OutboxQuery, answers={200: OutboxMails}, errors=(NotFound,)
)
def outbox(query: OutboxQuery) -> OutboxMails:
    if settings.mailer().mail != "outbox" or not _is_this_machine(request.remote_addr) or not _named_locally():
        raise NotFound()
    mails = Outbox(settings.common().data_dir).read(query.to)
    return OutboxMails(data=[OutboxMail.model_validate(mail) for mail in mails])


def _is_this_machine(address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


def _named_locally() -> bool:
    """A name that an attacker's DNS points to 127.0.0.1 is not ours (DNS rebinding)."""
    name = request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host
    return name.lower() in LOCAL_NAMES
