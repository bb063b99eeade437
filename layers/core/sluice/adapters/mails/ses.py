"""Mail by Amazon SES. SES sets its own Message-ID and does not deduplicate, so a mail may arrive more than once."""

from functools import cache
from typing import TYPE_CHECKING

from sluice.adapters.mails.message import deliverable, mime, sender_of
from sluice.domain.mails.mail import MailRefused, MailUndelivered, Message

if TYPE_CHECKING:
    from mypy_boto3_ses import SESClient

TIMEOUT_SECONDS = 5
# Errors about this mail itself. All other errors (paused, throttled, not verified yet) are temporary.
REFUSED = frozenset({"MessageRejected", "InvalidParameterValue"})


@cache
def _client() -> "SESClient":
    from boto3.session import Session
    from botocore.config import Config

    patience = Config(
        connect_timeout=TIMEOUT_SECONDS, read_timeout=TIMEOUT_SECONDS, retries={"mode": "standard", "max_attempts": 2}
    )
    client: SESClient = Session().client("ses", config=patience)
    return client


class SesMail:
    def __init__(self, configuration_set: str = "") -> None:
        self._told: dict[str, str] = {"ConfigurationSetName": configuration_set} if configuration_set else {}

    def send(self, message: Message, now_ms: int) -> None:
        """Errors: MailUndelivered, MailRefused."""
        from botocore.exceptions import BotoCoreError, ClientError

        raw = mime(message, now_ms).as_bytes()
        try:
            _client().send_raw_email(
                Source=sender_of(message.sender).addr_spec,
                Destinations=[deliverable(message.to)],
                RawMessage={"Data": raw},
                **self._told,  # type: ignore[arg-type]
            )
        except ClientError as exc:
            refused = exc.response["Error"]["Code"] in REFUSED and "not verified" not in str(exc)
            raise (MailRefused() if refused else MailUndelivered()) from exc
        except BotoCoreError as exc:
            raise MailUndelivered() from exc
