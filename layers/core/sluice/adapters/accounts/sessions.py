"""The sessions table. Reads by id are consistent, so that an ended session is refused by the next request."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from sluice.adapters.aws import dynamo
from sluice.domain.accounts.account import Account
from sluice.domain.accounts.sessions import Session
from sluice.domain.errors import Conflict, NotFound

# The session belongs to the account. Another account's session is treated as one that does not exist.
IS_OWN = "account_id = :account_id"
# The session still exists, so that its own password change does not bring back a session that was ended meanwhile.
STILL_THERE = "account_id = :account_id AND epoch = :epoch"
# The password has not changed since it was read and compared.
EPOCH_IS_AS_READ = "session_epoch = :epoch"
FIELDS = frozenset(field.name for field in fields(Session))


class DynamoSessions:
    """`sluice.ports.SessionStore`."""

    def __init__(self, table_prefix: str) -> None:
        self._sessions = table_prefix + "sessions"
        self._accounts = table_prefix + "accounts"

    def put(self, session: Session) -> None:
        told = {name: value for name, value in asdict(session).items() if value is not None}
        item = dynamo.item({**told, "ttl_s": session.expires_ms // 1000})
        dynamo.write(lambda: dynamo.client().put_item(TableName=self._sessions, Item=item))

    def get(self, session_id: str) -> Session | None:
        with dynamo.store_errors():
            answer = dynamo.client().get_item(TableName=self._sessions, Key=_key(session_id), ConsistentRead=True)
        return _session(dynamo.values(answer["Item"])) if "Item" in answer else None

    def of_account(self, account_id: str) -> list[Session]:
        """Reads the index, so on AWS a session of the last second may be missing."""
        return [_session(one) for one in dynamo.query(self._sessions, {"account_id": account_id}, index="by_account")]

    def delete(self, session_id: str, account_id: str) -> None:
        try:
            dynamo.write(
                lambda: dynamo.client().delete_item(
                    TableName=self._sessions,
                    Key=_key(session_id),
                    ConditionExpression=IS_OWN,
                    ExpressionAttributeValues=dynamo.item({":account_id": account_id}),
                )
            )
        except dynamo.ConditionFailed as exc:
            raise NotFound() from exc

    def erase_account(self, account_id: str, kept_session_id: str = "") -> None:
        """Deletes all sessions but one, which can repeat the account's deletion if this attempt fails."""
        of_account = (session.session_id for session in self.of_account(account_id))
        dynamo.delete_all(self._sessions, ({"session_id": one} for one in of_account if one != kept_session_id))

    def change_password(self, account: Account, password_hash: str, kept_session_id: str) -> None:
        """Set the password, end all sessions but one by a new epoch, and move that one to it, in one transaction.

        All mailed codes become invalid, so that a link requested by someone else cannot undo the change.
        """
        self._end_others(account, kept_session_id, {"password_hash": password_hash, "codes": {}})

    def end_others(self, account: Account, kept_session_id: str) -> None:
        """End all sessions but one by a new epoch. Errors: Conflict."""
        self._end_others(account, kept_session_id, {})

    def mark_shown(self, session_id: str, account_id: str, name: str, now_ms: int) -> None:
        """`name`: of the session's field for what it has shown. Errors: NotFound (the session has ended)."""
        try:
            dynamo.write(
                lambda: dynamo.client().update_item(
                    TableName=self._sessions,
                    Key=_key(session_id),
                    UpdateExpression="SET #name = :now_ms",
                    ConditionExpression=IS_OWN,
                    ExpressionAttributeNames={"#name": name},
                    ExpressionAttributeValues=dynamo.item({":account_id": account_id, ":now_ms": now_ms}),
                )
            )
        except dynamo.ConditionFailed as exc:
            raise NotFound() from exc

    def _end_others(self, account: Account, kept_session_id: str, changes: Mapping[str, Any]) -> None:
        epoch, account_id = account.session_epoch, account.account_id
        of_account = {
            "TableName": self._accounts,
            "Key": dynamo.item({"pk": account_id}),
            "UpdateExpression": ", ".join(["SET session_epoch = :next", *(f"{one} = :{one}" for one in changes)]),
            "ConditionExpression": EPOCH_IS_AS_READ,
            "ExpressionAttributeValues": dynamo.item(
                {":epoch": epoch, ":next": epoch + 1, **{f":{one}": value for one, value in changes.items()}}
            ),
        }
        of_session = {
            "TableName": self._sessions,
            "Key": _key(kept_session_id),
            "UpdateExpression": "SET epoch = :next",
            "ConditionExpression": STILL_THERE,
            "ExpressionAttributeValues": dynamo.item({":account_id": account_id, ":epoch": epoch, ":next": epoch + 1}),
        }
        writes: Any = [{"Update": of_account}, {"Update": of_session}]
        try:
            dynamo.write(lambda: dynamo.client().transact_write_items(TransactItems=writes))
        except dynamo.ConditionFailed as exc:
            raise Conflict("The password or this session was changed meanwhile.") from exc


def _key(session_id: str) -> dict[str, Any]:
    return dynamo.item({"session_id": session_id})


def _session(stored: Mapping[str, Any]) -> Session:
    return Session(**{name: value for name, value in stored.items() if name in FIELDS})
