"""The playground's chats: create, open, configure, rename, export, delete. `answering` handles their messages."""

import json
from typing import Any

from flask import Response, request
from pydantic import BaseModel, Field
from werkzeug.wrappers import Response as AnyResponse

from sluice.domain import errors
from sluice.domain.chats.chat import CONTENT_CHARACTERS, SYSTEM_CHARACTERS, TITLE_CHARACTERS, Chat
from sluice.domain.chats.markdown import as_markdown
from sluice.domain.chats.prompt import is_near_its_end
from sluice.domain.periods import rfc3339
from sluice.http.auth import Caller, now_ms
from sluice.http.chats.requests import ChatChanges, ExportedChat, NewChatBody
from sluice.http.operation import validated
from sluice.pages import forms
from sluice.pages.blueprints import members, pages
from sluice.pages.render import page, see
from sluice.wiring.chats import chats

blueprint = pages("pages")
SCRIPTS = ("htmx.js", "markdown-it.js", "purify.js", "sse.js", "markdown.js", "chat.js")
NOTES = {"saved": "Saved.", "deleted": "The chat is deleted."}
NUMBERS = {"temperature": float, "max_tokens": int}
SHOWN_CHATS = 50


class ExportQuery(BaseModel):
    form: str = Field("markdown", alias="as", pattern="^(markdown|json)$")


@blueprint.get("/my/chats")
@members
def chat_list(caller: Caller) -> Response:
    found = chats().page(caller.account_id, SHOWN_CHATS, request.args.get("cursor"))
    return page("chats.html", found=found, note=NOTES.get(request.args.get("note", ""), ""))


@blueprint.post("/my/chats")
@members
def begin(caller: Caller) -> AnyResponse:
    chat = chats().begin(caller.account_id, now_ms())
    return see(f"/my/chats/{chat.chat_id}")


@blueprint.get("/my/chats/<chat_id>")
@members
def one(caller: Caller, chat_id: str) -> Response:
    chat = chats().get(caller.account_id, chat_id)
    return _chat_page(caller, chat, 200, _settings_of(chat), NOTES.get(request.args.get("note", ""), ""))


@blueprint.post("/my/chats/<chat_id>/settings")
@members
def change(caller: Caller, chat_id: str) -> AnyResponse:
    chat = chats().get(caller.account_id, chat_id)
    try:
        wanted = validated(NewChatBody, _wanted())
    except errors.ValidationFailed as exc:
        return _chat_page(caller, chat, 422, forms.filled().with_problems(exc.problems))
    used_ms = chat.updated_ms  # keeps its place in the list, which is sorted by last use
    chats().update(caller.account_id, chat_id, wanted.changes(), used_ms)
    return see(f"/my/chats/{chat_id}", note="saved")


def _wanted() -> dict[str, Any]:
    """The form with the JSON API's types. An empty field means not set."""
    values: dict[str, Any] = {}
    for name in ("title", "system", "model", *NUMBERS):
        text = request.form.get(name, "").strip().replace("\r\n", "\n")
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
    chat, wanted = chats().get(caller.account_id, chat_id), validated(ChatChanges, {"shown": request.form.get("shown")})
    chats().update(caller.account_id, chat_id, {"shown": wanted.shown}, chat.updated_ms)
    return see(f"/my/chats/{chat_id}", anchor=f"turn-{wanted.shown}")


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
    headers = {"Content-Disposition": f'attachment; filename="{chat_id}.{ending}"'}
    return Response(text.encode("utf-8", "replace"), mimetype=media_type, headers=headers)


def _settings_of(chat: Chat) -> forms.Form:
    names = ("title", "system", "model", *NUMBERS)
    return forms.Form({name: "" if getattr(chat, name) is None else str(getattr(chat, name)) for name in names})


def _chat_page(caller: Caller, chat: Chat, status: int, form: forms.Form, note: str = "") -> Response:
    found, branches = chats().page(caller.account_id, SHOWN_CHATS), chats().branches(chat)
    most = {"title": TITLE_CHARACTERS, "system": SYSTEM_CHARACTERS, "content": CONTENT_CHARACTERS}
    shown: dict[str, Any] = {"chat": chat, "found": found, "branches": branches, "messages": branches.path}
    answer = next((one for one in reversed(branches.path) if one.role == "assistant"), None)
    shown |= {
        "left_out": answer.left_out if answer else None,
        "is_near": answer is not None and is_near_its_end(answer),
    }
    return page("chat.html", status, scripts=SCRIPTS, form=form, note=note, most=most, **shown)
