"""Registration, verification and mail in one process: a real store, and the mailer called as the stream calls it."""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

from functions.mailer.app import handler
from sluice import settings
from sluice.adapters.aws import dynamo
from sluice.domain.accounts.account import Account, parse_address
from sluice.domain.mails.mail import Mail
from tests.integration.accounts.world import PASSWORD, World

AT_ONCE = 20


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Desk(World):
    def post(self, path: str, **body: Any) -> Any:
        return self.app.test_client(use_cookies=False).post(path, json=body)

    def register(self, email: object, password: object = PASSWORD, **more: Any) -> Any:
        return self.post("/auth/register", email=email, password=password, **more)

    def resend(self, email: object) -> Any:
        return self.post("/auth/resend-verification", email=email)

    def verify(self, code: object) -> Any:
        return self.post("/auth/verify-email", token=code)

    def at_once(self, call: Any, arguments: Iterable[Any]) -> list[Any]:
        """The responses of one call for each argument, all made at the same time."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(call, arguments))

    def known(self, email: str) -> Account:
        from sluice.wiring import stores

        account = stores.account_store().by_email(parse_address(email).key, now_ms())
        assert account is not None
        return account

    def items(self, table: str) -> list[dict[str, Any]]:
        found = dynamo.client().scan(TableName=settings.common().table_prefix + table)["Items"]
        return [dynamo.values(item) for item in found]

    def mails(self) -> list[dict[str, Any]]:
        """Every real mail. Left out are the decoys, which are only written so that each request takes the same time."""
        return [mail for mail in self.items("mails") if mail["state"] != "none"]

    def mail(self, mail_id: str) -> Mail:
        from sluice.wiring import stores

        mail = stores.mail_store().get(mail_id)
        assert mail is not None
        return mail

    def codes(self, to: str | None = None) -> list[str]:
        """The codes of all mails with a link, the oldest first."""
        self.deliver()
        mails = sorted(self.outbox(to), key=lambda mail: self.mail(mail["message_id"][1:].split("@")[0]).created_ms)
        return [self.code_of(mail["text"]) for mail in mails if "token=" in mail["text"]]

    def deliver(self, *mail_ids: str) -> list[str]:
        """Delivers mails (default: all) to the mailer as one batch of the stream. Returns the ids of failed ones."""
        queued = sorted(self.items("mails"), key=lambda mail: mail["created_ms"])
        chosen = mail_ids or [mail["mail_id"] for mail in queued]
        failed = handler({"Records": [stream_record(mail_id) for mail_id in chosen]}, None)
        return [failure["itemIdentifier"] for failure in failed["batchItemFailures"]]

    def outbox(self, to: str | None = None) -> list[dict[str, Any]]:
        from sluice.adapters.mails.outbox import Outbox

        return Outbox(settings.common().data_dir).read(to)

    def code(self, to: str) -> str:
        """The code in the newest mail's link."""
        self.deliver()
        return self.code_of(self.outbox(to)[0]["text"])

    def code_of(self, text: str) -> str:
        (link,) = (line for line in text.splitlines() if line.startswith("http"))
        return str(parse_qs(urlsplit(link).query)["token"][0])


def stream_record(mail_id: str, event_name: str = "INSERT") -> dict[str, Any]:
    """A change in DynamoDB's KEYS_ONLY stream; the mail's id is the sequence number."""
    keys = {"mail_id": {"S": mail_id}}
    change = {"Keys": keys, "SequenceNumber": mail_id, "StreamViewType": "KEYS_ONLY", "SizeBytes": 60}
    return {"eventName": event_name, "eventSource": "aws:dynamodb", "dynamodb": change}


def backdate(desk: Desk, account_id: str, what: str, by_ms: int) -> None:
    """Move `created_ms` or `expires_ms` of all registrations of an account into the past."""
    accounts = settings.common().table_prefix + "accounts"
    key = dynamo.item({"pk": account_id})
    registrations = dynamo.values(dynamo.client().get_item(TableName=accounts, Key=key)["Item"])["registrations"]
    for one in registrations.values():
        one[what] -= by_ms
    dynamo.client().update_item(
        TableName=accounts,
        Key=key,
        UpdateExpression="SET registrations = :moved",
        ExpressionAttributeValues=dynamo.item({":moved": registrations}),
    )


def end(desk: Desk, account_id: str) -> None:
    """Let an unverified account end now, before the store deletes its items."""
    name = settings.common().table_prefix + "accounts"
    email_key = dynamo.values(dynamo.client().get_item(TableName=name, Key=dynamo.item({"pk": account_id}))["Item"])[
        "email_key"
    ]
    for pk in (account_id, "email#" + email_key):
        dynamo.client().update_item(
            TableName=name,
            Key=dynamo.item({"pk": pk}),
            UpdateExpression="SET ttl_s = :now_s",
            ExpressionAttributeValues=dynamo.item({":now_s": now_ms() // 1000}),
        )
