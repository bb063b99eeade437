"""`/chats…`: a person's conversations. The gateway answers their messages (`POST /chats/{id}/messages`)."""

from typing import Any

from flask import Blueprint

from sluice.domain import errors
from sluice.http.auth import Caller, now_ms
from sluice.http.chats.requests import ChatInfo, ChatList, ChatsQuery, ChatWithMessages, MessageInfo, NewChatBody
from sluice.http.on_lambda import wsgi
from sluice.http.operation import Auth, operation
from sluice.pages.chats import playground
from sluice.wiring.chats import chats

blueprint = Blueprint("chats", __name__)
blueprint.register_blueprint(playground.blueprint)
TAG = "Chats"
ONE = (errors.NotFound, errors.StoreUnavailable)


@blueprint.get("/chats")
@operation(
    "One's chats, last used first",
    tag=TAG,
    auth=Auth.SESSION,
    query=ChatsQuery,
    answers={200: ChatList},
    errors=(errors.ValidationFailed, errors.StoreUnavailable),
    description="Repeat with `cursor=next_cursor` until it is null. A page may be shorter than `limit`.",
)
def list_page(caller: Caller, query: ChatsQuery) -> ChatList:
    page = chats().page(caller.account_id, query.limit, query.cursor or None)
    return ChatList(data=[ChatInfo.of(chat) for chat in page.chats], next_cursor=page.next_cursor)


@blueprint.post("/chats")
@operation(
    "Begin a chat",
    tag=TAG,
    auth=Auth.SESSION,
    body=NewChatBody,
    answers={201: ChatInfo},
    errors=(errors.ValidationFailed, errors.LimitReached, errors.StoreUnavailable),
)
def create(caller: Caller, body: NewChatBody) -> ChatInfo:
    return ChatInfo.of(chats().create(caller.account_id, body.changes(), now_ms()))


@blueprint.get("/chats/<chat_id>")
@operation("A chat with its messages", tag=TAG, auth=Auth.SESSION, answers={200: ChatWithMessages}, errors=ONE)
def one(caller: Caller, chat_id: str) -> ChatWithMessages:
    chat = chats().get(caller.account_id, chat_id)
    messages = chats().messages(caller.account_id, chat_id)
    return ChatWithMessages(**ChatInfo.of(chat).model_dump(), messages=[MessageInfo.of(each) for each in messages])


@blueprint.patch("/chats/<chat_id>")
@operation(
    "Rename a chat, or change its system prompt, model or parameters",
    tag=TAG,
    auth=Auth.SESSION,
    body=NewChatBody,
    answers={200: ChatInfo},
    errors=(errors.ValidationFailed, *ONE),
)
def change(caller: Caller, chat_id: str, body: NewChatBody) -> ChatInfo:
    return ChatInfo.of(chats().update(caller.account_id, chat_id, body.changes(), now_ms()))


@blueprint.delete("/chats/<chat_id>")
@operation("Delete a chat", tag=TAG, auth=Auth.SESSION, answers={204: None}, errors=ONE)
def delete(caller: Caller, chat_id: str) -> None:
    chats().delete(caller.account_id, chat_id)


def handler(event: Any, context: Any) -> Any:
    """API Gateway's proxy event (AWS Lambda)."""
    return wsgi(blueprint)(event, context)
