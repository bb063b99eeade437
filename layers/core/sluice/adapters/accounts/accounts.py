"""The accounts table: the account (`pk` = its id) and items that keep its address (`email#…`) and its identities
at other sites (`idn_…`) unique.

Every read is consistent. A code is used only once because a conditional write spends it; the conditions are below.
An unverified account's items (account, address, grant) have a TTL, which the write that verifies it removes from all
three. So either the store deletes the account or the code is redeemed, never a part of both.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sluice.adapters.accounts.administered import AdministeredAccounts, account_from
from sluice.adapters.accounts.identified import IdentifiedAccounts
from sluice.adapters.accounts.invited import InvitedAccounts
from sluice.adapters.accounts.writes import now, put
from sluice.adapters.aws import dynamo
from sluice.adapters.mails.store import mail_item
from sluice.domain.accounts.account import Account, AddressTaken, PendingCode, Registered
from sluice.domain.accounts.identities import of_other_addresses
from sluice.domain.errors import Conflict, MailedCodeInvalid, NotFound
from sluice.domain.gateway.grants import NO_TOKENS
from sluice.domain.mails.mail import Mail

# No account has the address, so that of two registrations at once only one succeeds.
IS_NEW = "attribute_not_exists(pk)"
# This code is the newest of its purpose (used and older codes are not stored), and it has not expired.
CODE_IS_LIVE = "codes.#purpose.mail_id = :mail_id AND codes.#purpose.expires_ms > :now_ms"
# The code that was read is still the newest, so that of two requests at once only one writes a mail.
CODE_IS_AS_READ = "codes.#purpose.mail_id = :seen"
CODE_IS_ABSENT = "attribute_not_exists(codes.#purpose)"
STATUS_IS_AS_READ = "#status = :status"
EPOCH_IS_AS_READ = "session_epoch = :epoch"  # the session that asked has not been ended meanwhile
VERIFIED_BY_RESET = ", verified_ms = :now_ms, email = :email, #name = :name REMOVE registrations, invitation, ttl_s"
# The link of this registration has not expired, no other one was redeemed, and the account has not ended.
LINK_IS_LIVE = "#status = :status AND registrations.#mail.expires_ms > :now_ms AND ttl_s > :now_s"
REGISTRATIONS_ARE_AS_READ = "#status = :status AND registrations = :before"  # compared by value
HAS_NOT_ENDED = "(attribute_not_exists(ttl_s) OR ttl_s > :now_s)"

DELETIONS = "deletions"  # the key of one item with an attribute for each unfinished deletion
DELETIONS_SCHEMA = 1


class DynamoAccounts(IdentifiedAccounts, InvitedAccounts, AdministeredAccounts):
    """`sluice.ports.AccountStore`."""

    def __init__(self, table_prefix: str) -> None:
        AdministeredAccounts.__init__(self, table_prefix)
        InvitedAccounts.__init__(self, table_prefix)

    # --- reads

    def get(self, account_id: str) -> Account | None:
        stored = self._read(account_id)
        return account_from(stored) if stored else None

    def by_email(self, email_key: str, now_ms: int) -> Account | None:
        """Makes two reads even if the first finds nothing, so that the time does not show who is registered."""
        owner = self._read("email#" + email_key)
        account = self.get(owner["account_id"] if owner else "usr_nobody")
        return None if account is None or account.has_ended(now_ms) else account

    # --- registration

    def create(self, account: Account, grant: Mapping[str, Any], mail: Mail | None) -> None:
        """Write account, address, grant and mail in one transaction. Errors: AddressTaken."""
        ttl = {"ttl_s": account.ttl_s} if account.ttl_s else {}
        try:
            self._transact(
                put(self._accounts, dynamo.item(_account_item(account)), IS_NEW),
                self._put_address(account.email_key, account.account_id, account.created_ms, ttl),
                put(self._grants, dynamo.item(grant), "attribute_not_exists(account_id)"),
                *([put(self._mails, mail_item(mail))] if mail else []),
            )
        except dynamo.ConditionFailed as exc:
            raise AddressTaken() from exc

    # --- mailed codes

    def put_code(self, account: Account, purpose: str, code: PendingCode, mail: Mail) -> None:
        """Make `code` the only live one of its purpose and queue its mail, in one transaction.

        Errors: Conflict when the account's status, password or newest code changed since it was read.
        """
        seen = account.codes.get(purpose)
        values = {":code": asdict(code), ":status": account.status, ":epoch": account.session_epoch}
        update = self._updating(
            account.account_id,
            "SET codes.#purpose = :code",
            f"{STATUS_IS_AS_READ} AND {EPOCH_IS_AS_READ} AND {CODE_IS_AS_READ if seen else CODE_IS_ABSENT}",
            {"#purpose": purpose, "#status": "status"},
            values | ({":seen": seen.mail_id} if seen else {}),
        )
        try:
            self._transact(update, put(self._mails, mail_item(mail)))
        except dynamo.ConditionFailed as exc:
            raise Conflict() from exc

    def put_registrations(self, account: Account, registrations: Mapping[str, Registered], mails: list[Mail]) -> None:
        newest = max(registrations.values(), key=lambda one: one.created_ms)
        update = self._updating(
            account.account_id,
            "SET registrations = :after, password_hash = :hash, #name = :name, email = :email",
            REGISTRATIONS_ARE_AS_READ,
            {"#status": "status", "#name": "name"},
            {
                ":status": "pending",
                ":before": _plain(account.registrations),
                ":after": _plain(registrations),
                ":hash": newest.password_hash,
                ":name": newest.name,
                ":email": newest.email,
            },
        )
        try:
            self._transact(update, *(put(self._mails, mail_item(mail)) for mail in mails))
        except dynamo.ConditionFailed as exc:
            raise Conflict() from exc

    def redeem_verification(self, account: Account, mail_id: str, now_ms: int) -> None:
        """pending → active, with the password, name and spelling of the registration that the code belongs to, in one
        write that also ends the other registrations. Errors: MailedCodeInvalid."""
        update = self._updating(
            account.account_id,
            "SET #status = :active, verified_ms = :now_ms, redeemed = :mail_id, email = registrations.#mail.email, "
            "password_hash = registrations.#mail.password_hash, #name = registrations.#mail.#name "
            "REMOVE registrations, invitation, ttl_s",
            LINK_IS_LIVE,
            {"#status": "status", "#name": "name", "#mail": mail_id},
            {":active": "active", ":status": "pending", ":mail_id": mail_id, **now(now_ms)},
        )
        self._redeem(update, *self._kept(account))

    def redeem_reset(
        self, account: Account, mail_id: str, password_hash: str, now_ms: int, *, keep_tokens: bool
    ) -> None:
        """Set the password, and end every session, mailed code and (unless `keep_tokens`) API token, in one write.

        The grant gets the new epoch, too, so that a session that this write ends issues no API token after it.
        A pending account becomes active with the name and spelling in `account`, because a person who can read this
        mail owns the address. Identities of other addresses end, because they may be another person's.
        Errors: MailedCodeInvalid, also when the account's status changed since it was read.
        """
        is_new, epoch = account.status == "pending", account.session_epoch + 1
        others = {f"#{one}": one for one in of_other_addresses(account)}
        unlinked = " REMOVE " + ", ".join(f"identities.{name}" for name in others) if others else ""
        update = self._updating(
            account.account_id,
            "SET password_hash = :hash, codes = :none, session_epoch = :next, #status = :after"
            + (VERIFIED_BY_RESET if is_new else unlinked),
            f"{CODE_IS_LIVE} AND {STATUS_IS_AS_READ} AND {EPOCH_IS_AS_READ} AND {HAS_NOT_ENDED}",
            {"#purpose": "reset_password", "#status": "status"} | ({"#name": "name"} if is_new else others),
            {
                **({":email": account.email, ":name": account.name} if is_new else {}),
                ":hash": password_hash,
                ":none": {},
                ":epoch": account.session_epoch,
                ":next": epoch,
                ":status": account.status,
                ":after": "active" if is_new else account.status,
                ":mail_id": mail_id,
                **now(now_ms),
            },
        )
        change = "SET token_epoch = :epoch" + ("" if keep_tokens else ", live = :none")
        values = {":epoch": epoch} | ({} if keep_tokens else {":none": NO_TOKENS})
        gone = ([] if keep_tokens else ["tl", "tf"]) + (["ttl_s"] if is_new else [])
        grant = self._updating_grant(account, change + (" REMOVE " + ", ".join(gone) if gone else ""), values)
        self._redeem(update, grant, *(self._kept(account)[1:] if is_new else self._freed(account, others.values())))

    def redeem_email_change(self, account: Account, code: PendingCode, notice: Mail, now_ms: int) -> None:
        """Replace the address, end every mailed code, because the old address may have one, and queue a notice to it.
        Errors: MailedCodeInvalid, AddressTaken."""
        update = self._updating(
            account.account_id,
            "SET email = :email, email_key = :key, redeemed = :mail_id, codes = :none",
            CODE_IS_LIVE,
            {"#purpose": "change_email"},
            {
                ":email": code.new_email,
                ":key": code.new_email_key,
                ":mail_id": code.mail_id,
                ":now_ms": now_ms,
                ":none": {},
            },
        )
        writes: list[dict[str, Any]] = [update, put(self._mails, mail_item(notice))]
        if code.new_email_key != account.email_key:  # otherwise only the spelling changes, and the unique item stays
            old = {"TableName": self._accounts, "Key": dynamo.item({"pk": "email#" + account.email_key})}
            new = self._put_address(code.new_email_key, account.account_id, now_ms, {})
            writes += [new, {"Delete": old}]
        try:
            self._transact(*writes)
        except dynamo.ConditionFailed as exc:
            raise (MailedCodeInvalid() if 0 in exc.failed else AddressTaken()) from exc

    # --- changes by the owner

    def update_profile(self, account_id: str, changes: Mapping[str, str | bool | int]) -> None:
        """Errors: NotFound."""
        if changes:
            try:
                self._update(
                    account_id,
                    "SET " + ", ".join(f"#{field} = :{field}" for field in changes),
                    "attribute_exists(pk)",
                    {f"#{field}": field for field in changes},
                    {f":{field}": new for field, new in changes.items()},
                )
            except dynamo.ConditionFailed as exc:
                raise NotFound() from exc

    # --- deletion

    def begin_deletion(self, account_id: str, now_ms: int) -> Account | None:
        """Writes the status and the list of deletions in one transaction, so that every deletion is finished."""
        leaving = self._updating(
            account_id,
            "SET #status = :deleting, codes = :none",
            "attribute_exists(pk)",
            {"#status": "status"},
            {":deleting": "deleting", ":none": {}},
        )
        noted = {
            "TableName": self._accounts,
            "Key": dynamo.item({"pk": DELETIONS}),
            "UpdateExpression": "SET #account = :now_ms, #schema = :schema",
            "ExpressionAttributeNames": {"#account": account_id, "#schema": "schema"},
            "ExpressionAttributeValues": dynamo.item({":now_ms": now_ms, ":schema": DELETIONS_SCHEMA}),
        }
        try:
            self._transact(leaving, {"Update": noted})
        except dynamo.ConditionFailed:
            return None
        return self.get(account_id)

    def end_deletion(self, account: Account) -> None:
        """Deletes all its items in one transaction, because an address or an identity without an account could not be
        used again."""
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
            self._transact({"Delete": gone}, {"Delete": address}, *self._freed(account, account.identities))
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
        update = self._updating(account_id, change, condition, names, values)["Update"]
        dynamo.write(lambda: dynamo.client().update_item(**update))


def _plain(registrations: Mapping[str, Registered]) -> dict[str, Any]:
    return {mail_id: asdict(one) for mail_id, one in registrations.items()}


def _account_item(account: Account) -> dict[str, Any]:
    plain = {name: value for name, value in asdict(account).items() if value is not None}
    without = ("factors", "recovery", "identities", "terms")
    plain = {name: value for name, value in plain.items() if value or name not in without}
    return plain | {"pk": account.account_id}
