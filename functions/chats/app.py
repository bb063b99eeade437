"""`/chats…`: a person's conversations. Answering one is the gateway's (`POST /chats/{id}/messages`)."""

from typing import Any

from flask import Blueprint

from sluice.domain import errors
from sluice.http.auth import Caller, now_ms
from sluice.http.chats.requests import ChatInfo, ChatList, ChatWithMessages, MessageInfo, NewChatBody
from sluice.http.on_lambda import wsgi
from sluice.http.operation import Auth, operation
from sluice.pages.chats import playground
from sluice.services import chats as services
from sluice.wiring import stores

blueprint = Blueprint("chats", __name__)
blueprint.register_blueprint(playground.blueprint)
TAG = "Chats"
ONE = (errors.NotFound, errors.StoreUnavailable)


@blueprint.get("/chats")
@operation("One's chats", tag=TAG, auth=Auth.SESSION, answers={200: ChatList}, errors=(errors.StoreUnavailable,))
def list_all(caller: Caller) -> ChatList:
    found = services.list_chats(caller.account_id, chats=stores.chat_store())
    return ChatList(data=[ChatInfo.of(chat) for chat in found])


@blueprint.post("/chats")
@operation(
    "Begin a chat",
    tag=TAG,
    auth=Auth.SESSION,
    body=NewChatBody,
    answers={201: ChatInfo},
    errors=(errors.ValidationFailed, errors.StoreUnavailable),
)
def create(caller: Caller, body: NewChatBody) -> ChatInfo:
    chat = services.create_chat(caller.account_id, body.changes(), chats=stores.chat_store(), now_ms=now_ms())
    return ChatInfo.of(chat)


@blueprint.get("/chats/<chat_id>")
@operation("A chat with its messages", tag=TAG, auth=Auth.SESSION, answers={200: ChatWithMessages}, errors=ONE)
def one(caller: Caller, chat_id: str) -> ChatWithMessages:
    chat = services.get_chat(caller.account_id, chat_id, chats=stores.chat_store())
    messages = stores.chat_store().messages(caller.account_id, chat_id)
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
    chat = services.update_chat(caller.account_id, chat_id, body.changes(), chats=stores.chat_store(), now_ms=now_ms())
    return ChatInfo.of(chat)


@blueprint.delete("/chats/<chat_id>")
@operation("Delete a chat", tag=TAG, auth=Auth.SESSION, answers={204: None}, errors=ONE)
def delete(caller: Caller, chat_id: str) -> None:
    services.get_chat(caller.account_id, chat_id, chats=stores.chat_store())
    stores.chat_store().delete(caller.account_id, chat_id)


def handler(event: Any, context: Any) -> Any:
    """API Gateway's event in, its answer out."""
    return wsgi(blueprint)(event, context)
