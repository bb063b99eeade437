"""The accounts table: the account (`pk` = its id) and an item that keeps its address unique (`pk` = `email#…`).

Every read is consistent. A code is used only once because a conditional write spends it; the conditions are below.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sluice.adapters.accounts.administered import AdministeredAccounts, account_from
from sluice.adapters.aws import dynamo
from sluice.adapters.mails.store import mail_item
from sluice.domain.accounts.account import Account, AddressTaken, PendingCode
from sluice.domain.errors import Conflict, MailedCodeInvalid, NotFound
from sluice.domain.mails.mail import Mail

# No account has the address, so that of two registrations at once only one succeeds.
IS_NEW = "attribute_not_exists(pk)"
# This code is the newest of its purpose (used and older codes are not stored), and it has not expired.
CODE_IS_LIVE = "codes.#purpose.mail_id = :mail_id AND codes.#purpose.expires_ms > :now_ms"
# The code that was read is still the newest, so that of two requests at once only one writes a mail.
CODE_IS_AS_READ = "codes.#purpose.mail_id = :seen"
CODE_IS_ABSENT = "attribute_not_exists(codes.#purpose)"
STATUS_IS_AS_READ = "#status = :status"

DELETIONS = "deletions"  # the key of one item with an attribute for each unfinished deletion
DELETIONS_SCHEMA = 1


class DynamoAccounts(AdministeredAccounts):
    """`sluice.ports.AccountStore`."""

    def __init__(self, table_prefix: str) -> None:
        super().__init__(table_prefix)
        self._accounts = table_prefix + "accounts"
        self._grants = table_prefix + "grants"
        self._mails = table_prefix + "mails"

    # --- reads

    def get(self, account_id: str) -> Account | None:
        stored = self._read(account_id)
        return account_from(stored) if stored else None

    def by_email(self, email_key: str) -> Account | None:
        """Makes two reads even if the first finds nothing, so that the time does not show who is registered."""
        owner = self._read("email#" + email_key)
        return self.get(owner["account_id"] if owner else "usr_nobody")

    def _read(self, key: str) -> dict[str, Any]:
        with dynamo.store_errors():
            answer = dynamo.client().get_item(
                TableName=self._accounts, Key=dynamo.item({"pk": key}), ConsistentRead=True
            )
        return dynamo.values(answer.get("Item", {}))

    # --- registration

    def create(self, account: Account, grant: Mapping[str, Any], mail: Mail) -> None:
        """Write account, address, grant and mail in one transaction. Errors: AddressTaken."""
        owner = {"pk": "email#" + account.email_key, "account_id": account.account_id, "schema": account.schema}
        try:
            self._transact(
                _put(self._accounts, dynamo.item(_account_item(account)), IS_NEW),
                _put(self._accounts, dynamo.item(owner), IS_NEW),
                _put(self._grants, dynamo.item(grant), "attribute_not_exists(account_id)"),
                _put(self._mails, mail_item(mail)),
            )
        except dynamo.ConditionFailed as exc:
            raise AddressTaken() from exc

    # --- mailed codes

    def put_code(
        self,
        account: Account,
        purpose: str,
        code: PendingCode,
        mail: Mail,
        *,
        password_hash: str | None = None,
        name: str | None = None,
    ) -> None:
        """Make `code` the only live one of its purpose and queue its mail, in one transaction.

        With a password hash or name, the same write also replaces a registration that was not verified yet.
        Errors: Conflict when the account's status or newest code changed since it was read.
        """
        seen = account.codes.get(purpose)
        sets = {"codes.#purpose": dynamo.attribute(asdict(code))}
        if password_hash is not None:
            sets["password_hash"] = dynamo.attribute(password_hash)
        if name is not None:
            sets["#name"] = dynamo.attribute(name)
        names = {"#purpose": purpose, "#status": "status"} | ({"#name": "name"} if name is not None else {})
        values = {f":v{place}": stored for place, stored in enumerate(sets.values())} | {
            ":status": dynamo.attribute(account.status)
        }
        if seen:
            values[":seen"] = dynamo.attribute(seen.mail_id)
        update = {
            "TableName": self._accounts,
            "Key": dynamo.item({"pk": account.account_id}),
            "UpdateExpression": "SET " + ", ".join(f"{path} = :v{place}" for place, path in enumerate(sets)),
            "ConditionExpression": f"{STATUS_IS_AS_READ} AND {CODE_IS_AS_READ if seen else CODE_IS_ABSENT}",
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
        }
        try:
            self._transact({"Update": update}, _put(self._mails, mail_item(mail)))
        except dynamo.ConditionFailed as exc:
            raise Conflict() from exc

    def redeem_verification(self, account_id: str, mail_id: str, now_ms: int) -> None:
        """pending → active, in one write that also spends the code. Errors: MailedCodeInvalid."""
        self._redeem(
            account_id,
            "verify_email",
            mail_id,
            now_ms,
            "SET #status = :active, verified_ms = :now_ms REMOVE codes.#purpose",
            {":active": "active", ":status": "pending"},
        )

    def redeem_reset(self, account: Account, mail_id: str, password_hash: str, now_ms: int) -> None:
        """Set the password, and end every session and mailed code of the account, in one write.

        A pending account becomes active, because a person who can read this mail owns the address.
        Errors: MailedCodeInvalid, also when the account's status changed since it was read.
        """
        verified = ", verified_ms = :now_ms" if account.status == "pending" else ""
        self._redeem(
            account.account_id,
            "reset_password",
            mail_id,
            now_ms,
            "SET password_hash = :hash, codes = :none, session_epoch = session_epoch + :one, #status = :after"
            + verified,
            {
                ":hash": password_hash,
                ":none": {},
                ":one": 1,
                ":status": account.status,
                ":after": "active" if account.status == "pending" else account.status,
            },
        )

    def _redeem(
        self, account_id: str, purpose: str, mail_id: str, now_ms: int, change: str, values: Mapping[str, Any]
    ) -> None:
        try:
            self._update(
                account_id,
                change,
                f"{CODE_IS_LIVE} AND {STATUS_IS_AS_READ}",
                {"#purpose": purpose, "#status": "status"},
                {":mail_id": mail_id, ":now_ms": now_ms, **values},
            )
        except dynamo.ConditionFailed as exc:
            raise MailedCodeInvalid() from exc

    def redeem_email_change(self, account: Account, code: PendingCode, notice: Mail, now_ms: int) -> None:
        """Replace the address, and queue a notice to the old one. Errors: MailedCodeInvalid, AddressTaken."""
        update = {
            "TableName": self._accounts,
            "Key": dynamo.item({"pk": account.account_id}),
            "UpdateExpression": "SET email = :email, email_key = :key REMOVE codes.#purpose",
            "ConditionExpression": CODE_IS_LIVE,
            "ExpressionAttributeNames": {"#purpose": "change_email"},
            "ExpressionAttributeValues": dynamo.item(
                {":email": code.new_email, ":key": code.new_email_key, ":mail_id": code.mail_id, ":now_ms": now_ms}
            ),
        }
        writes: list[dict[str, Any]] = [{"Update": update}, _put(self._mails, mail_item(notice))]
        if code.new_email_key != account.email_key:  # otherwise only the spelling changes, and the unique item stays
            owner = {"pk": "email#" + code.new_email_key, "account_id": account.account_id, "schema": account.schema}
            old = {"TableName": self._accounts, "Key": dynamo.item({"pk": "email#" + account.email_key})}
            writes += [_put(self._accounts, dynamo.item(owner), IS_NEW), {"Delete": old}]
        try:
            self._transact(*writes)
        except dynamo.ConditionFailed as exc:
            raise (MailedCodeInvalid() if 0 in exc.failed else AddressTaken()) from exc

    # --- changes by the owner

    def update_profile(self, account_id: str, *, name: str | None = None, store_content: bool | None = None) -> Account:
        """Errors: NotFound."""
        wanted = {"name": name, "store_content": store_content}
        changes = {field: new for field, new in wanted.items() if new is not None}
        try:
            if changes:
                self._update(
                    account_id,
                    "SET " + ", ".join(f"#{field} = :{field}" for field in changes),
                    "attribute_exists(pk)",
                    {f"#{field}": field for field in changes},
                    {f":{field}": new for field, new in changes.items()},
                )
        except dynamo.ConditionFailed as exc:
            raise NotFound() from exc
        account = self.get(account_id)
        if account is None:
            raise NotFound()
        return account

    # --- deletion

    def begin_deletion(self, account_id: str, now_ms: int) -> Account | None:
        """Writes the status and the list of deletions in one transaction, so that every deletion is finished."""
        leaving = {
            "TableName": self._accounts,
            "Key": dynamo.item({"pk": account_id}),
            "UpdateExpression": "SET #status = :deleting, codes = :none",
            "ConditionExpression": "attribute_exists(pk)",
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": dynamo.item({":deleting": "deleting", ":none": {}}),
        }
        noted = {
            "TableName": self._accounts,
            "Key": dynamo.item({"pk": DELETIONS}),
            "UpdateExpression": "SET #account = :now_ms, #schema = :schema",
            "ExpressionAttributeNames": {"#account": account_id, "#schema": "schema"},
            "ExpressionAttributeValues": dynamo.item({":now_ms": now_ms, ":schema": DELETIONS_SCHEMA}),
        }
        try:
            self._transact({"Update": leaving}, {"Update": noted})
        except dynamo.ConditionFailed:
            return None
        return self.get(account_id)

    def end_deletion(self, account: Account) -> None:
        """Deletes both items in one transaction, because an address without an account could not be reused."""
        gone = {
            "TableName": self._accounts,
            "Key": dynamo.item({"pk": account.account_id}),
            "ConditionExpression": "#status = :deleting",
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": dynamo.item({":deleting": "deleting"}),
        }
        address = {
            "TableName": self._accounts,
            "Key": dynamo.item({"pk": "email#" + account.email_key}),
            "ConditionExpression": "account_id = :account_id",
            "ExpressionAttributeValues": dynamo.item({":account_id": account.account_id}),
        }
        try:
            self._transact({"Delete": gone}, {"Delete": address})
        except dynamo.ConditionFailed:
            return  # another process has already deleted it

    def deletions(self) -> dict[str, int]:
        return {name: at_ms for name, at_ms in self._read(DELETIONS).items() if name not in ("pk", "schema")}

    def forget_deletion(self, account_id: str) -> None:
        dynamo.write(
            lambda: dynamo.client().update_item(
                TableName=self._accounts,
                Key=dynamo.item({"pk": DELETIONS}),
                UpdateExpression="REMOVE #account",
                ExpressionAttributeNames={"#account": account_id},
            )
        )

    # --- helpers

    def _update(
        self, account_id: str, change: str, condition: str, names: Mapping[str, str], values: Mapping[str, Any]
    ) -> None:
        arguments: dict[str, Any] = {"ExpressionAttributeNames": dict(names)} if names else {}
        dynamo.write(
            lambda: dynamo.client().update_item(
                TableName=self._accounts,
                Key=dynamo.item({"pk": account_id}),
                UpdateExpression=change,
                ConditionExpression=condition,
                ExpressionAttributeValues=dynamo.item(values),
                **arguments,
            )
        )

    def _transact(self, *writes: Any) -> None:
        dynamo.write(lambda: dynamo.client().transact_write_items(TransactItems=writes))


def _put(table: str, item: Mapping[str, Any], condition: str | None = None) -> Any:
    put = {"TableName": table, "Item": item}
    return {"Put": put | ({"ConditionExpression": condition} if condition else {})}


def _account_item(account: Account) -> dict[str, Any]:
    plain = asdict(account)
    plain["pk"] = plain["account_id"]
    if account.verified_ms is None:
        del plain["verified_ms"]
    return plain
