"""The mails table: mails from `queued` over `sending` to `sent` or `failed`.

An unsent mail has `unsent_shard` and `due`, the keys of the sparse index `unsent`, so that the sweeper finds overdue
mails by one small query a shard, without a scan. A sent mail has neither. The index `by_account` lists an account's
mails, for its export and its deletion.
"""

import zlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sluice.adapters.aws import dynamo
from sluice.domain.errors import Conflict
from sluice.domain.mails.mail import KEPT_S, Kind, Mail

if TYPE_CHECKING:
    from pynamodb.expressions.condition import Condition

    from sluice.adapters.aws.models import MailItem

SHARDS = 4
ACCOUNT_INDEX = "by_account"
UNSENT = "queued", "sending"


def due_key(due_ms: int) -> str:
    """Milliseconds as text that sorts by time, because all our index keys are strings."""
    return f"{due_ms:015d}"


def shard_of(mail_id: str) -> str:
    return str(zlib.crc32(mail_id.encode()) % SHARDS)


def mail_item(mail: Mail) -> dict[str, Any]:
    """The item for a transaction, in DynamoDB's format."""
    plain: dict[str, Any] = {
        "mail_id": mail.mail_id,
        "kind": mail.kind.value,
        "account_id": mail.account_id,
        "to": mail.to,
        "created_ms": mail.created_ms,
        "expires_ms": mail.expires_ms,
        "data": dict(mail.data),
        "state": mail.state,
        "attempts": mail.attempts,
        "schema": mail.schema,
        "ttl_s": mail.created_ms // 1000 + KEPT_S,
    }
    if mail.language:
        plain["language"] = mail.language
    if mail.repeats:
        plain["repeats"] = mail.repeats
    if not mail.account_id:  # a mail without an account: an index key cannot be empty
        del plain["account_id"]
    if mail.state in UNSENT:
        plain |= {"due": due_key(mail.due_ms), "unsent_shard": shard_of(mail.mail_id)}
    return dynamo.item(plain)


def mail_from(plain: dict[str, Any]) -> Mail:
    return Mail(
        mail_id=plain["mail_id"],
        kind=Kind(plain["kind"]),
        account_id=plain.get("account_id", ""),
        to=plain["to"],
        created_ms=plain["created_ms"],
        expires_ms=plain["expires_ms"],
        due_ms=int(plain.get("due", 0)),
        data=plain["data"],
        state=plain["state"],
        attempts=plain["attempts"],
        sent_ms=plain.get("sent_ms"),
        problem=plain.get("problem", ""),
        repeats=plain.get("repeats", ""),
        language=plain.get("language", ""),
        schema=plain["schema"],
    )


IS_NEW = "attribute_not_exists(mail_id)"


class DynamoMails:
    """`sluice.ports.MailStore`. Registrations queue mails through the small client; the mailer and the sweeper
    claim and end them through the model, because no person waits for their cold start."""

    def __init__(self, table_prefix: str) -> None:
        self._prefix, self._table = table_prefix, table_prefix + "mails"

    @cached_property
    def _rows(self) -> "type[MailItem]":
        from sluice.adapters.aws.model_store import bound
        from sluice.adapters.aws.models import MailItem

        return bound(MailItem, self._prefix)

    def get(self, mail_id: str) -> Mail | None:
        with dynamo.store_errors():
            answer = dynamo.client().get_item(
                TableName=self._table, Key=dynamo.item({"mail_id": mail_id}), ConsistentRead=True
            )
        return mail_from(dynamo.values(answer["Item"])) if "Item" in answer else None

    def queue(self, mail: Mail) -> bool:
        """Returns False if a mail with this id exists, sent or not; that mail stays unchanged.

        It is a transaction of one item, so that a mail alone costs the same kind of write, and the same time, as an
        account and its mail.
        """
        put: Any = {"TableName": self._table, "Item": mail_item(mail), "ConditionExpression": IS_NEW}
        try:
            dynamo.write(lambda: dynamo.client().transact_write_items(TransactItems=[{"Put": put}]))
        except dynamo.ConditionFailed:
            return False
        return True

    def claim(self, mail: Mail, *, now_ms: int, until_ms: int) -> Mail:
        """queued → sending. Errors: Conflict when the mail is not due or was already sent."""
        rows = self._rows
        changes = [rows.state.set("sending"), rows.due.set(due_key(until_ms)), rows.attempts.set(rows.attempts + 1)]
        try:
            self._update(mail.mail_id, changes, self._may_be_claimed(now_ms))
        except dynamo.ConditionFailed as exc:
            raise Conflict() from exc
        return replace(mail, state="sending", due_ms=until_ms, attempts=mail.attempts + 1)

    def sent(self, mail: Mail, now_ms: int) -> None:
        """Errors: Conflict when the claim was lost, because another process is sending the mail too."""
        rows = self._rows
        ended = [rows.unsent_shard.remove(), rows.due.remove()]
        self._end(mail, [rows.state.set("sent"), rows.sent_ms.set(now_ms), *ended])

    def failed(self, mail: Mail, problem: str, now_ms: int) -> None:
        """The failure is final. Errors: Conflict when the claim was lost."""
        rows = self._rows
        ended = [rows.unsent_shard.remove(), rows.due.remove()]
        self._end(mail, [rows.state.set("failed"), rows.failed_ms.set(now_ms), rows.problem.set(problem), *ended])

    def put_back(self, mail: Mail, problem: str, due_ms: int) -> None:
        """sending → queued; the next attempt starts at `due_ms`. Errors: Conflict when the claim was lost."""
        rows = self._rows
        self._end(mail, [rows.state.set("queued"), rows.due.set(due_key(due_ms)), rows.problem.set(problem)])

    def _end(self, mail: Mail, changes: list[Any]) -> None:
        rows = self._rows
        # No other process has claimed this mail meanwhile.
        claim_is_held = (rows.state == "sending") & (rows.due == due_key(mail.due_ms))
        try:
            self._update(mail.mail_id, changes, claim_is_held)
        except dynamo.ConditionFailed as exc:
            raise Conflict() from exc

    def overdue(self, before_ms: int, limit: int) -> list[str]:
        """Ids of unsent mails that were due before `before_ms`, the oldest first; at most `limit` a shard."""
        from sluice.adapters.aws.model_store import reading

        before = self._rows.due < due_key(before_ms)
        with reading():
            found = [self._rows.unsent.query(str(shard), before, limit=limit) for shard in range(SHARDS)]
            return [row.mail_id for rows in found for row in rows]

    def touch(self, mail_id: str, now_ms: int) -> bool:
        """Write to an overdue mail, so that the table's stream delivers it to the mailer again.

        Returns False if it was sent or claimed meanwhile, because the index lags behind the table.
        """
        try:
            self._update(mail_id, [self._rows.requeued_ms.set(now_ms)], self._may_be_claimed(now_ms))
        except dynamo.ConditionFailed:
            return False
        return True

    def of_account(self, account_id: str) -> Iterator[Mail]:
        """Unordered, read page by page. A mail of the last second may be missing."""
        return map(mail_from, dynamo.get_all(self._table, self._keys_of(account_id)))

    def erase_account(self, account_id: str) -> None:
        """Deletes sent and unsent mails. A mailer that has claimed one then finds that it is gone."""
        dynamo.delete_all(self._table, self._keys_of(account_id))

    def _keys_of(self, account_id: str) -> Iterator[dict[str, str]]:
        found = dynamo.query(self._table, {"account_id": account_id}, index=ACCOUNT_INDEX)
        return ({"mail_id": stored["mail_id"]} for stored in found)

    def _may_be_claimed(self, now_ms: int) -> "Condition":
        """The mail is unsent and due: either it is queued, or the process that was sending it counts as dead.
        Of two deliveries of one event, the second finds `due` moved by the first."""
        is_due: Condition = self._rows.state.is_in(*UNSENT) & (self._rows.due <= due_key(now_ms))
        return is_due

    def _update(self, mail_id: str, changes: list[Any], condition: "Condition") -> None:
        from sluice.adapters.aws.model_store import write

        write(lambda: self._rows(mail_id).update(changes, condition))
