"""Queue a mail. The mails table's stream then invokes the mailer, which renders and sends it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sluice.domain.accounts.account import Account, PendingCode
from sluice.domain.errors import Conflict
from sluice.domain.mails.mail import SILENT, Kind, new_mail, once_id
from sluice.ports.accounts import AccountStore
from sluice.ports.mails import MailStore


def queue_mail(
    kind: Kind,
    account: Account,
    *,
    mails: MailStore,
    now_ms: int,
    data: Mapping[str, str | int] | None = None,
    once: tuple[str | int, ...] = (),
    language: str = "",
    silent: bool = False,
) -> bool:
    """Queue a notice (a mail without a code). → whether it was new. `silent`: write it, and do not send it.

    `once` names the occasion: of all calls with the same kind, account and occasion, only the first queues a mail
    (`once=(202611,)` for a month's quota mail). Without it, each call queues one. `language`: of who asked,
    where the account has none. Errors: StoreUnavailable.
    """
    mail_id = once_id(kind, account.account_id, *once) if once else ""
    facts: dict[str, Any] = {"account_id": account.account_id, "to": account.email, "data": data, "mail_id": mail_id}
    mail = new_mail(kind, now_ms=now_ms, language=account.language or language, **facts)
    return mails.queue(replace(mail, state=SILENT) if silent else mail)


def queue_nothing(mails: MailStore, now_ms: int) -> None:
    """Make one write, as for an address that gets a mail, so that both take the same time. Errors: StoreUnavailable."""
    mails.queue(replace(new_mail(Kind.VERIFY_EMAIL, account_id="", to="", now_ms=now_ms), state=SILENT))


def queue_code(
    kind: Kind,
    account: Account,
    *,
    accounts: AccountStore,
    now_ms: int,
    to: str,
    language: str = "",
) -> None:
    """Queue a mail with a code, which makes earlier codes of its kind invalid. `to`: the address, as to be spelled.
    Errors: StoreUnavailable.

    If a concurrent call does the same, only one of the two mails is queued.
    """
    language = account.language or language
    mail = new_mail(kind, account_id=account.account_id, to=to, now_ms=now_ms, language=language)
    code = PendingCode(mail.mail_id, mail.expires_ms, now_ms)
    try:
        accounts.put_code(account, kind, code, mail)
    except Conflict:
        return
