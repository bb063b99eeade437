"""`/chats…`: a person's conversations. The gateway answers their messages (`POST /chats/{id}/messages`)."""

from functools import partial

from flask import Blueprint

from sluice.domain import errors
from sluice.http.auth import Caller, now_ms
from sluice.http.chats.requests import ChatInfo, ChatList, ChatWithMessages, MessageInfo, NewChatBody
from sluice.http.on_lambda import lambda_handler
from sluice.http.operation import Auth, operation
from sluice.pages.chats import playground
from sluice.wiring.chats import chats

blueprint = Blueprint("chats", __name__)
blueprint.register_blueprint(playground.blueprint)
documented = partial(operation, tag="Chats", auth=Auth.SESSION)


@blueprint.get("/chats")
@documented("One's chats")
def list_all(caller: Caller) -> ChatList:
    return ChatList(data=[ChatInfo.of(chat) for chat in chats().all(caller.account_id)])


@blueprint.post("/chats")
@documented("Begin a chat", status=201)
def create(caller: Caller, body: NewChatBody) -> ChatInfo:
    return ChatInfo.of(chats().create(caller.account_id, body.changes(), now_ms()))


@blueprint.get("/chats/<chat_id>")
@documented("A chat with its messages", errors=(errors.NotFound,))
def one(caller: Caller, chat_id: str) -> ChatWithMessages:
    chat = chats().get(caller.account_id, chat_id)
    messages = chats().messages(caller.account_id, chat_id)
    return ChatWithMessages.like(ChatInfo.of(chat), messages=[MessageInfo.of(each) for each in messages])


@blueprint.patch("/chats/<chat_id>")
@documented("Rename a chat, or change its system prompt, model or parameters", errors=(errors.NotFound,))
def change(caller: Caller, chat_id: str, body: NewChatBody) -> ChatInfo:
    return ChatInfo.of(chats().update(caller.account_id, chat_id, body.changes(), now_ms()))


@blueprint.delete("/chats/<chat_id>")
@documented("Delete a chat", errors=(errors.NotFound,))
def delete(caller: Caller, chat_id: str) -> None:
    chats().delete(caller.account_id, chat_id)


handler = lambda_handler(blueprint)
