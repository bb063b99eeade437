"""What people do to their own account, with this process's adapters and clock: for the JSON API and the pages."""

from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from typing import IO

from flask import json

from sluice.domain.accounts.account import Account, parse_address
from sluice.domain.errors import NotAuthenticated
from sluice.domain.periods import rfc3339
from sluice.http.accounts.requests import ChangeEmailBody, DeleteAccountBody, UpdateAccountBody
from sluice.http.auth import Caller, now_ms
from sluice.http.client import client_address
from sluice.services.accounts.change_email import request_email_change as ask_for_address
from sluice.services.accounts.change_password import confirm_password
from sluice.services.accounts.export import Export, Part
from sluice.services.accounts.overview import Overview, account_overview
from sluice.services.accounts.update_account import update_account
from sluice.wiring import peers, services, stores

IN_MEMORY_BYTES = 1 << 20
PIECE_BYTES = 1 << 16


def update(caller: Caller, body: UpdateAccountBody) -> Overview:
    """Errors: ValidationFailed, NotFound, StoreUnavailable."""
    update_account(
        caller.account_id,
        name=body.name,
        store_content=body.store_content,
        accounts=stores.account_store(),
        grants=stores.grant_store(),
    )
    return account_overview(
        caller.account_id,
        accounts=stores.account_store(),
        grants=stores.hot_store(),
        ledger=stores.ledger_reader(),
        rollups=stores.rollup_store(),
        now_ms=now_ms(),
    )


def request_email_change(caller: Caller, body: ChangeEmailBody) -> None:
    """Errors: ValidationFailed, InvalidCredentials, TooManyAttempts, Overloaded, StoreUnavailable."""
    parse_address(body.new_email, "new_email")  # a mistyped one is told before the password is looked at
    ask_for_address(
        confirm(caller, body.password),
        body.new_email,
        accounts=stores.account_store(),
        mails=stores.mail_store(),
        may_mail=services.may_mail(client_address()),
        now_ms=now_ms(),
    )


def delete(caller: Caller, body: DeleteAccountBody) -> None:
    """Errors: InvalidCredentials, TooManyAttempts, Overloaded, StoreUnavailable."""
    confirm(caller, body.password)
    services.erasure().delete(caller.account_id, caller.session_id, now_ms())


def confirm(caller: Caller, password: str) -> Account:
    """For what a session that was stolen or left open must not do. Errors: NotAuthenticated, InvalidCredentials,
    TooManyAttempts, Overloaded, StoreUnavailable."""
    account = stores.account_store().get(caller.account_id)
    if account is None:
        raise NotAuthenticated()
    confirm_password(
        account, password, passwords=peers.password_hashes(), throttles=stores.throttles(), now_ms=now_ms()
    )
    return account


def export(caller: Caller) -> Iterator[bytes]:
    """The JSON, in pieces. All of it is read before the first piece is given out, so that a store that goes away
    half-way is a 503 and not half a document; what does not fit in memory waits in a file that has no name.

    Errors: NotFound, StoreUnavailable.
    """
    now = now_ms()
    parts = Export(
        stores.account_store(),
        stores.session_store(),
        stores.token_store(),
        stores.hot_store(),
        stores.ledger_reader(),
        stores.content_store(),
        stores.mail_store(),
        stores.audit_log(),
        stores.file_store(),
        stores.vector_store_store(),
    ).parts(caller.account_id, now)
    file = SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 (closed by whoever reads it)
    try:
        file.write(b'{"exported_at":' + _json(rfc3339(now)))
        for name, part in parts:
            file.write(b"," + _json(name) + b":")
            _write(file, part)
        file.write(b"}")
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return _pieces(file)


def _write(file: IO[bytes], part: Part) -> None:
    if not isinstance(part, Iterator):
        file.write(_json(part))
        return
    before = b"["
    for one in part:
        file.write(before + _json(one))
        before = b","
    file.write(b"[]" if before == b"[" else b"]")


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
