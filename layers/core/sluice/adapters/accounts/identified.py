"""Identities at other sites, in the accounts table: a map in the account, and an item for each that makes it unique
(`pk` = its id). Both are written in one transaction, so an identity is never linked to two accounts (docs/adr/0130).
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sluice.adapters.accounts.administered import account_from
from sluice.adapters.accounts.writes import IS_OF_ACCOUNT, AccountWrites, delete, now, put
from sluice.adapters.aws import dynamo
from sluice.domain.accounts.account import SCHEMA, Account, Identity
from sluice.domain.accounts.identities import MOST_IDENTITIES
from sluice.domain.errors import Conflict, NotFound

IS_LINKED_TO_NOBODY = "attribute_not_exists(pk)"
# Nobody set a new password meanwhile, which ends the session that asked.
IS_AS_READ = "#status = :active AND session_epoch = :epoch"
IS_FIRST = f"{IS_AS_READ} AND (attribute_not_exists(identities) OR size(identities) = :none)"
IS_ANOTHER = f"{IS_AS_READ} AND size(identities) < :most AND size(identities) > :none"
# A password was set, or another identity stays.
IS_NOT_THE_LAST_WAY_IN = "attribute_exists(identities.#id) AND (password_hash <> :empty OR size(identities) > :one)"
WAITS = "#status = :pending AND ttl_s > :now_s"  # nobody verified the address, and the account has not ended


class IdentifiedAccounts(AccountWrites):
    """A part of `sluice.ports.AccountStore`. Errors of every method: StoreUnavailable."""

    def by_identity(self, identity_id: str) -> Account | None:
        owner = self._read(identity_id)
        stored = self._read(owner["account_id"]) if owner else {}
        return account_from(stored) if stored else None

    def adopt(self, account: Account, identity: Identity, now_ms: int) -> None:
        """pending → active without a password, whoever registered the address: the provider has verified it. With the
        name and spelling in `account`. Errors: Conflict (verified or ended meanwhile, or the identity is linked)."""
        update = self._updating(
            account.account_id,
            "SET #status = :active, verified_ms = :now_ms, email = :email, #name = :name, password_hash = :empty, "
            "codes = :none, identities = :identities REMOVE registrations, invitation, ttl_s",
            WAITS,
            {"#status": "status", "#name": "name"},
            {
                ":active": "active",
                ":pending": "pending",
                ":email": account.email,
                ":name": account.name,
                ":empty": "",
                ":none": {},
                ":identities": {identity.identity_id: asdict(identity)},
                **now(now_ms),
            },
        )
        self._link(update, *self._kept(account), self._owned(account, identity))

    def link(self, account: Account, identity: Identity) -> None:
        """Errors: Conflict (it is linked, the account has as many as it may have, or changed since it was read)."""
        names = {"#status": "status"}
        values: dict[str, Any] = {":active": "active", ":epoch": account.session_epoch, ":none": 0}
        if account.identities:
            change, condition = "SET identities.#id = :identity", IS_ANOTHER
            names |= {"#id": identity.identity_id}
            values |= {":identity": asdict(identity), ":most": MOST_IDENTITIES}
        else:
            change, condition = "SET identities = :identities", IS_FIRST
            values |= {":identities": {identity.identity_id: asdict(identity)}}
        update = self._updating(account.account_id, change, condition, names, values)
        self._link(update, self._owned(account, identity))

    def unlink(self, account: Account, identity_id: str) -> None:
        """Errors: NotFound (it is not the account's, or its last way in)."""
        names, values = {"#id": identity_id}, {":empty": "", ":one": 1}
        change = "REMOVE identities.#id"
        update = self._updating(account.account_id, change, IS_NOT_THE_LAST_WAY_IN, names, values)
        try:
            self._transact(update, *self._freed(account, [identity_id]))
        except dynamo.ConditionFailed as exc:
            raise NotFound() from exc

    def _owned(self, account: Account, identity: Identity) -> Any:
        item = {"pk": identity.identity_id, "account_id": account.account_id, "schema": SCHEMA}
        return put(self._accounts, dynamo.item(item), IS_LINKED_TO_NOBODY)

    def _freed(self, account: Account, identity_ids: Iterable[str]) -> list[Any]:
        is_own = {":account_id": account.account_id}
        return [delete(self._accounts, {"pk": one}, IS_OF_ACCOUNT, {}, is_own) for one in identity_ids]

    def _link(self, *writes: Any) -> None:
        try:
            self._transact(*writes)
        except dynamo.ConditionFailed as exc:
            raise Conflict("This sign-in is linked already, or the account changed meanwhile. Look again.") from exc
