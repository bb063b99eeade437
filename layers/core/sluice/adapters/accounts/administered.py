"""Changes to accounts by admins, the operator, the mailer and bounces, where no person waits for a cold start.

They use the model, which is imported at the first of these calls.
"""

from collections.abc import Mapping
from dataclasses import fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sluice.adapters.aws.dynamo import ConditionFailed
from sluice.domain.accounts.account import Account, Identity, Invitation, PendingCode, Registered, Role, Status, lower
from sluice.domain.accounts.factors import Factor
from sluice.domain.errors import Conflict, NotFound
from sluice.domain.mails.mail import Suppression

if TYPE_CHECKING:
    from pynamodb.expressions.condition import Condition

    from sluice.adapters.aws.models import AccountItem

SCAN_ITEMS = 500
FIELDS = frozenset(field.name for field in fields(Account))


class AdministeredAccounts:
    """A part of `sluice.ports.AccountStore`. Errors of every method: StoreUnavailable."""

    def __init__(self, table_prefix: str) -> None:
        self._prefix = table_prefix

    @cached_property
    def _rows(self) -> "type[AccountItem]":
        from sluice.adapters.aws.model_store import bound
        from sluice.adapters.aws.models import AccountItem

        return bound(AccountItem, self._prefix)

    def page(
        self, query: str, *, limit: int, after_id: str | None, scanned: int, invited: bool = False
    ) -> tuple[list[Account], str | None]:
        """A scan of at most `scanned` items, addresses' own items included, from where the last page ended."""
        from sluice.adapters.aws.model_store import reading

        rows = self._rows
        wanted = rows.email_key.exists()  # an account, and not an address's item or the list of deletions
        if query:
            of_address = rows.email_key.contains(lower(query))
            wanted = wanted & (of_address | rows.name.contains(query) | (rows.pk == query))
        if invited:
            wanted = wanted & rows.invitation.exists()
        start: Any = {"pk": {"S": after_id}} if after_id else None
        size = min(scanned, SCAN_ITEMS)
        pages = rows.scan(wanted, page_size=size, last_evaluated_key=start, consistent_read=True).page_iter
        found: list[Account] = []
        with reading():
            for page in pages:
                found += [account_from(rows.from_raw_data(item).to_simple_dict()) for item in page["Items"]]
                if len(found) > limit:
                    return found[:limit], found[limit - 1].account_id
                scanned -= SCAN_ITEMS
                if scanned <= 0 and pages.last_evaluated_key is not None:
                    return found, pages.last_evaluated_key["pk"]["S"]
                pages.page_size = min(scanned, SCAN_ITEMS)
        return found, None

    def set_status(self, account: Account, status: Status) -> None:
        """Errors: Conflict (the status is not as read any more)."""
        try:
            self._change(account.account_id, [self._rows.status.set(status)], self._rows.status == account.status)
        except ConditionFailed as exc:
            raise Conflict() from exc

    def set_role(self, account_id: str, role: Role) -> None:
        """Errors: NotFound."""
        try:
            self._change(account_id, [self._rows.role.set(role)], self._rows.pk.exists())
        except ConditionFailed as exc:
            raise NotFound() from exc

    # --- whether an address takes mail

    def suppress_mail(self, email_key: str, reason: Suppression, now_ms: int) -> bool:
        """Stored on the address's own item, so that it is deleted with the address and account reads stay small."""
        rows = self._rows
        first = [
            rows.mail_suppressed.set(rows.mail_suppressed | reason),
            rows.mail_suppressed_ms.set(rows.mail_suppressed_ms | now_ms),
        ]
        try:
            # Somebody has the address: a note on a free one would keep it from ever being registered.
            self._change("email#" + email_key, first, rows.pk.exists())
        except ConditionFailed:
            return False
        return True

    def mail_suppression(self, email_key: str) -> Suppression | None:
        from sluice.adapters.aws.model_store import reading

        with reading():
            try:
                row = self._rows.get("email#" + email_key, consistent_read=True)
            except self._rows.DoesNotExist:
                return None
        reason: Suppression | None = row.mail_suppressed  # type: ignore[assignment]
        return reason

    def _change(self, key: str, changes: list[Any], condition: "Condition") -> None:
        from sluice.adapters.aws.model_store import write

        write(lambda: self._rows(key).update(changes, condition))


def account_from(plain: Mapping[str, Any]) -> Account:
    """Attributes that a newer version of the code has written are left out."""
    told = {name: stored for name, stored in plain.items() if name in FIELDS}
    told["codes"] = {purpose: PendingCode(**code) for purpose, code in plain["codes"].items()}
    told["registrations"] = {one: Registered(**each) for one, each in plain.get("registrations", {}).items()}
    told["factors"] = {one: _factor(each) for one, each in plain.get("factors", {}).items()}
    told["identities"] = {one: Identity(**each) for one, each in plain.get("identities", {}).items()}
    told["invitation"] = Invitation(**plain["invitation"]) if plain.get("invitation") else None
    return Account(**told)


def _factor(plain: Mapping[str, Any]) -> Factor:
    return Factor(**{**plain, "transports": tuple(plain.get("transports", ()))})
