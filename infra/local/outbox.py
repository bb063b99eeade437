"""`GET /_local/outbox?to=ADDRESS`: the mails of a local run, for this machine only.

404 unless `SLUICE_MAIL=outbox`; the launcher then listens on loopback only. This view also refuses clients on other
machines and requests under another host name, which web pages in a local browser could send (DNS rebinding).
"""

from flask import Blueprint, request
from pydantic import BaseModel

from infra.local.loopback import is_loopback_client
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
@operation("The mails of a local run", tag="Operation", errors=(NotFound,))
def outbox(query: OutboxQuery) -> OutboxMails:
    if settings.mailer().mail != "outbox" or not is_loopback_client(request.remote_addr) or not _named_locally():
        raise NotFound()
    mails = Outbox(settings.common().data_dir).read(query.to)
    return OutboxMails(data=[OutboxMail.model_validate(mail) for mail in mails])


def _named_locally() -> bool:
    """Whether the Host header names this machine. A foreign name that resolves to 127.0.0.1 is refused."""
    name = request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host
    return name.lower() in LOCAL_NAMES
