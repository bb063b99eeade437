"""Redeem a mailed code that shows an address to be somebody's: of a registration, or of a change of address."""

from sluice.domain.accounts.audit import Action
from sluice.domain.errors import MailedCodeInvalid
from sluice.ports.accounts import AccountStore
from sluice.ports.mails import MailStore
from sluice.services.accounts.change_email import change_email
from sluice.services.accounts.security_events import Note, note_nothing
from sluice.services.accounts.verify import verify_email


def verify_address(
    code: str, *, key: bytes, accounts: AccountStore, mails: MailStore, now_ms: int, note: Note = note_nothing
) -> str:
    """Returns the account's id. A code is of one purpose, so at most one of the two takes it.

    Errors: MailedCodeInvalid, StoreUnavailable.
    """
    try:
        return verify_email(code, key=key, accounts=accounts, mails=mails, now_ms=now_ms)
    except MailedCodeInvalid:
        account_id = change_email(code, key=key, accounts=accounts, mails=mails, now_ms=now_ms)
    note(Action.EMAIL_CHANGED, account_id)
    return account_id
