"""Files of a chat: one chosen at the composer becomes a document, and answers of this chat are looked for in it. And a
chat that was downloaded, as a file that becomes a chat.

They are documents like others, so the function of the documents serves this. A chat holds their ids only: a file that
is taken out of it, or whose chat is deleted, stays in the documents.
"""

from functools import partial

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Response as AnyResponse

from sluice.domain import errors
from sluice.http.auth import Caller, now_ms
from sluice.http.chats import imports
from sluice.http.documents import files as flow
from sluice.pages.blueprints import members, pages
from sluice.pages.render import see
from sluice.pages.words import _
from sluice.services.gateway.request import playground_claims
from sluice.wiring.chats import chats
from sluice.wiring.documents import my_documents

blueprint = pages("chat_files")


@blueprint.post("/my/chats/files")
@members
def begin(caller: Caller) -> AnyResponse:
    """A new chat, which its first question names. A refused file makes none."""
    return _kept(caller, None, *_sent())


@blueprint.post("/my/chats/import")
@members
def bring(caller: Caller) -> AnyResponse:
    """It counts as one request by the API, like any upload. Errors: ValidationFailed, LimitReached."""
    _, body = _sent()
    with flow.admitted(playground_claims(caller.account_id, now_ms() // 1000), "files") as account_id:
        sent, now = imports.read(body), now_ms()
        shown = sent.messages[-1].id if sent.messages else ""
        chat = chats().bring(account_id, sent.changes(), sent.all_messages(now), shown, now)
    return see(f"/my/chats/{chat.chat_id}")


@blueprint.post("/my/chats/<chat_id>/files")
@members
def add(caller: Caller, chat_id: str) -> AnyResponse:
    chat = chats().get(caller.account_id, chat_id)
    name, body = _sent()
    chats().with_room(chat, partial(my_documents().has, caller.account_id))
    return _kept(caller, chat_id, name, body)


def _sent() -> tuple[str, bytes]:
    sent = request.files.get("file")
    if sent is None or not sent.filename:
        raise errors.ValidationFailed(message=_("Choose a file first."))
    return sent.filename, flow.body_of(sent)


def _kept(caller: Caller, chat_id: str | None, name: str, body: bytes) -> AnyResponse:
    """The upload counts as one request by the API. Errors: LimitReached, as `MyDocuments.keep_beside`."""
    documents = my_documents()
    with flow.admitted(playground_claims(caller.account_id, now_ms() // 1000), "files") as account_id:
        file = documents.keep_beside(account_id, name, body, now_ms())
    if chat_id is None:
        chat_id = chats().create(account_id, {}, now_ms()).chat_id
    chats().attach(account_id, chat_id, file.file_id, partial(documents.has, account_id))
    return see(f"/my/chats/{chat_id}", anchor="files")


@blueprint.errorhandler(RequestEntityTooLarge)
def too_large(exc: RequestEntityTooLarge) -> AnyResponse:
    chat_id = (request.view_args or {}).get("chat_id")
    return see(f"/my/chats/{chat_id}" if chat_id else "/my/chats", note="too-large")
