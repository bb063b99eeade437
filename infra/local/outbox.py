"""`GET /_local/outbox?to=ADDRESS`: the mails of a local run, for this machine only.

404 unless `SLUICE_MAIL=outbox`; the launcher then listens on loopback only. This view also refuses other machines,
proxies and foreign web pages (`loopback.py`).
"""

from flask import Blueprint, request
from pydantic import BaseModel

from infra.local.loopback import is_from_this_machine
from sluice import settings
from sluice.adapters.mails.outbox import Outbox
from sluice.domain.errors import NotFound
from sluice.http.operation import operation

blueprint = Blueprint("outbox", __name__)


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
@operation("The mails of a local run", tag="Operation", errors=(NotFound,))
def outbox(query: OutboxQuery) -> OutboxMails:
    if settings.mailer().mail != "outbox" or not is_from_this_machine(request):
        raise NotFound()
    mails = Outbox(settings.common().data_dir).read(query.to)
    return OutboxMails(data=[OutboxMail.model_validate(mail) for mail in mails])
