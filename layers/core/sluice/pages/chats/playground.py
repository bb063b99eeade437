"""The playground's chats: begin, find, open, configure, rename, export, delete. `answering` handles their messages."""

import json
import re
from contextlib import suppress
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flask import Response, redirect, request
from pydantic import BaseModel, Field
from werkzeug.wrappers import Response as AnyResponse

from sluice.domain import errors
from sluice.domain.chats.branches import Branches
from sluice.domain.chats.chat import CONTENT_CHARACTERS, SYSTEM_CHARACTERS, TITLE_CHARACTERS, Chat, ChatMessage
from sluice.domain.chats.markdown import as_markdown
from sluice.domain.chats.prompt import length_of
from sluice.domain.documents.uploads import MAX_FILE_BYTES, MIB, UNPRINTABLE
from sluice.domain.periods import rfc3339
from sluice.http.auth import Caller, now_ms
from sluice.http.chats.requests import ChatChanges, ExportedChat, NewChatBody
from sluice.http.operation import validated
from sluice.pages import forms, links
from sluice.pages.amounts import number
from sluice.pages.blueprints import members, pages
from sluice.pages.render import page, see
from sluice.pages.words import _, later, noted
from sluice.pages.zone import browsers_zone
from sluice.services.chats.chats import ChatPage
from sluice.wiring.chats import chats

if TYPE_CHECKING:
    from sluice.services.documents.my_documents import Document

blueprint = pages("pages")
SCRIPTS = (
    *("zone.js", "markdown-it.js", "purify.js", "sse.js", "markdown.js"),
    *("chat_answer.js", "chat_words.js", "chat.js", "chat_menu.js", "chat_files.js", "chat_kept.js"),
)
NOTES = {"saved": later("Saved."), "deleted": later("The chat is deleted.")}
NUMBERS = {"temperature": float, "max_tokens": int}
SETTINGS = ("title", "system", "model", *NUMBERS)
SHOWN_CHATS = 25
UNSAFE = re.compile(rf'{UNPRINTABLE.pattern}|[<>:"/\\|?*%;]')  # in a file's name, on some system or in the header
NAME_CHARACTERS = 80


class ExportQuery(BaseModel):
    form: str = Field("markdown", alias="as", pattern="^(markdown|json)$")


@blueprint.get("/my/chats")
@members
def chat_list(caller: Caller) -> Response:
    """A new chat, stored with its first message, beside those before. `q`: only those with this in their title. `ask`:
    a message that stands in the box, which only the person sends."""
    note = noted(NOTES)
    return _chat_page(caller, None, 200, forms.Form(), note)


@blueprint.post("/my/chats")
@members
def begin(caller: Caller) -> AnyResponse:
    """Begins a chat with the settings of the form, or for the message of the form: the browser sends that again to the
    function that answers it, because this one has no model."""
    if request.form.get("content"):
        return redirect(links.at("/my/chats/new/messages"), 307)
    try:
        given = {name: value for name, value in _wanted().items() if value is not None}
        wanted = validated(NewChatBody, given).changes()
    except errors.ValidationFailed as exc:
        return _chat_page(caller, None, 422, forms.filled().with_problems(exc.problems))
    chat = chats().create(caller.account_id, wanted, now_ms())
    return see(f"/my/chats/{chat.chat_id}")


@blueprint.get("/my/chats/<chat_id>")
@members
def one(caller: Caller, chat_id: str) -> Response:
    chat = chats().get(caller.account_id, chat_id)
    return _chat_page(caller, chat, 200, _settings_of(chat), noted(NOTES))


@blueprint.post("/my/chats/<chat_id>/settings")
@members
def change(caller: Caller, chat_id: str) -> AnyResponse:
    chat = chats().get(caller.account_id, chat_id)
    try:
        wanted = validated(NewChatBody, _wanted())
    except errors.ValidationFailed as exc:
        sent = forms.filled()
        shown = forms.Form({**_settings_of(chat).values, **sent.values}, sent.lists, tuple(exc.problems))
        return _chat_page(caller, chat, 422, shown)
    chats().update(caller.account_id, chat_id, wanted.changes())
    return see(f"/my/chats/{chat_id}", note="saved")


def _wanted() -> dict[str, Any]:
    """The form's fields with the JSON API's types. An empty one means not set."""
    values: dict[str, Any] = {}
    for name in SETTINGS:
        if name not in request.form:
            continue
        text = request.form[name].strip().replace("\r\n", "\n")
        values[name] = _number(text, NUMBERS[name]) if name in NUMBERS and text else text or None
    return values


def _number(text: str, kind: type[int] | type[float]) -> int | float | str:
    """The number, or the text itself if it is not one: the model that checks the form then refuses it."""
    try:
        return kind(text)
    except ValueError:
        return text


@blueprint.post("/my/chats/<chat_id>/shown")
@members
def show(caller: Caller, chat_id: str) -> AnyResponse:
    """Show another branch, at the message that was chosen."""
    wanted = validated(ChatChanges, {"shown": request.form.get("shown")})
    chats().update(caller.account_id, chat_id, {"shown": wanted.shown})
    return see(f"/my/chats/{chat_id}", anchor=f"turn-{wanted.shown}")


@blueprint.post("/my/chats/<chat_id>/files/<file_id>/remove")
@members
def take_out(caller: Caller, chat_id: str, file_id: str) -> AnyResponse:
    """The document itself stays."""
    chats().detach(caller.account_id, chat_id, file_id)
    return see(f"/my/chats/{chat_id}", anchor="files")


@blueprint.post("/my/chats/<chat_id>/delete")
@members
def delete(caller: Caller, chat_id: str) -> AnyResponse:
    chats().delete(caller.account_id, chat_id)
    return see("/my/chats", note="deleted")


@blueprint.get("/my/chats/<chat_id>/export")
@members
def export(caller: Caller, chat_id: str) -> Response:
    """Always a download: the browser must not render it, because its content is not ours."""
    form = validated(ExportQuery, request.args.to_dict()).form
    chat = chats().get(caller.account_id, chat_id)
    branches = chats().branches(chat)
    if form == "json":
        whole = ExportedChat.with_messages(chat, branches)
        text = json.dumps(whole.model_dump(), ensure_ascii=False, indent=1)
        media_type, ending = "application/json", "json"
    else:
        text, media_type, ending = as_markdown(chat, branches.path, rfc3339), "text/markdown", "md"
    headers = {"Content-Disposition": _attached(chat.title, ending)}
    return Response(text.encode("utf-8", "replace"), mimetype=media_type, headers=headers)


def _attached(title: str, ending: str) -> str:
    """The title as a file's name, for old browsers in ASCII."""
    name = " ".join(UNSAFE.sub(" ", title.encode("utf-8", "ignore").decode()).split())[:NAME_CHARACTERS].strip(" .")
    plain = " ".join(name.encode("ascii", "ignore").decode().split()) or "chat"
    return f"attachment; filename=\"{plain}.{ending}\"; filename*=UTF-8''{quote(name or 'chat', safe='')}.{ending}"


def _too_large() -> str:
    most = MAX_FILE_BYTES // MIB
    return _("That file is too large: at most %(most)s MiB. Choose a smaller one, or a part of it.", most=most)


def _settings_of(chat: Chat) -> forms.Form:
    return forms.Form({name: "" if getattr(chat, name) is None else str(getattr(chat, name)) for name in SETTINGS})


def _chosen(chat: Chat | None) -> list[str]:
    """The settings in a line, as far as they are not the default."""
    chosen = [chat.model if chat and chat.model else _("Default model")]
    if chat and chat.temperature is not None:
        chosen.append(_("temperature %(value)s", value=format(chat.temperature, "g")))
    if chat and chat.max_tokens is not None:
        chosen.append(_("max %(count)s tokens", count=number(chat.max_tokens)))
    return [*chosen, _("system prompt")] if chat and chat.system else chosen


def _chat_page(caller: Caller, chat: Chat | None, status: int, form: forms.Form, note: str = "") -> Response:
    """Without `chat` the page of a chat that its first message begins."""
    query, cursor = request.args.get("q", "").strip(), request.args.get("cursor")
    branches = chats().branches(chat) if chat else Branches([], None)
    shown: dict[str, Any] = {
        "chat": chat,
        "chosen": _chosen(chat),
        "found": (found := _found(caller, query, cursor)),
        "groups": [("", found.chats)] if query else _by_day(found.chats),
        "query": query,
        "asked": "" if chat else request.args.get("ask", "")[:CONTENT_CHARACTERS],
        "is_search": chat is None and bool(query or cursor),
        "is_managed": chat is not None and "manage" in request.args,
        "branches": branches,
        "messages": (messages := _shown(chat, branches)),
        "is_running": bool(chat and chat.running and messages and messages[-1].role == "user"),
        "person": caller.account_id,
        "length": length_of(messages),
        "files": _files(chat) if chat and chat.files else [],
        "most_bytes": MAX_FILE_BYTES,
        "too_large": _too_large(),
        "most": {"title": TITLE_CHARACTERS, "system": SYSTEM_CHARACTERS, "content": CONTENT_CHARACTERS},
    }
    return page("chat.html", status, scripts=SCRIPTS, form=form, note=note, **shown)


def _shown(chat: Chat | None, branches: Branches) -> list[ChatMessage]:
    """Of a chat with an answer that is running, nothing after its question, which may have earlier answers."""
    path = branches.path
    if chat is None or chat.running is None or (asked := branches.get(chat.shown)) not in path:
        return path
    return path[: path.index(asked) + 1] if asked and asked.role == "user" else path


def _files(chat: Chat) -> "list[Document]":
    """Without those that were deleted or replaced."""
    from sluice.wiring.documents import my_documents  # a chat without files does not pay for it

    found = []
    for file_id in chat.files:
        with suppress(errors.NotFound):
            found.append(my_documents().one(chat.account_id, file_id))
    return found


def _by_day(found: list[Chat]) -> list[tuple[str, list[Chat]]]:
    """The chats, which are sorted by last use, in groups with a title."""
    zone = browsers_zone()

    def title(chat: Chat) -> str:
        today, used = (datetime.fromtimestamp(ms / 1000, zone).date() for ms in (now_ms(), chat.updated_ms))
        days = (today - used).days
        return (
            _("Today")
            if days < 1
            else _("Yesterday")
            if days == 1
            else _("Previous 7 days")
            if days < 8
            else _("Older")
        )

    return [(name, list(group)) for name, group in groupby(found, title)]


def _found(caller: Caller, query: str, cursor: str | None) -> ChatPage:
    if query:
        return chats().named(caller.account_id, query, SHOWN_CHATS)
    return chats().page(caller.account_id, SHOWN_CHATS, cursor)
