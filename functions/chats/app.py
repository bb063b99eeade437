"""`/chats…`: a person's conversations. The gateway answers their messages (`POST /chats/{id}/messages`)."""

from functools import partial

from flask import Blueprint

from sluice.domain import errors
from sluice.http.auth import Caller, now_ms
from sluice.http.chats.requests import ChatChanges, ChatInfo, ChatList, ChatsQuery, ChatWithMessages, NewChatBody
from sluice.http.on_lambda import lambda_handler
from sluice.http.operation import Auth, operation
from sluice.pages.chats import playground
from sluice.wiring.chats import chats

blueprint = Blueprint("chats", __name__)
blueprint.register_blueprint(playground.blueprint)
documented = partial(operation, tag="Chats", auth=Auth.SESSION)


@blueprint.get("/chats")
@documented(
    "One's chats, last used first",
    description="Repeat with `cursor=next_cursor` until it is null. A page may be shorter than `limit`.",
)
def list_page(caller: Caller, query: ChatsQuery) -> ChatList:
    page = chats().page(caller.account_id, query.limit, query.cursor or None)
    return ChatList(data=[ChatInfo.of(chat) for chat in page.chats], next_cursor=page.next_cursor)


@blueprint.post("/chats")
@documented("Begin a chat", status=201, errors=(errors.LimitReached,))
def create(caller: Caller, body: NewChatBody) -> ChatInfo:
    return ChatInfo.of(chats().create(caller.account_id, body.changes(), now_ms()))


@blueprint.get("/chats/<chat_id>")
@documented("A chat with its messages", errors=(errors.NotFound,))
def one(caller: Caller, chat_id: str) -> ChatWithMessages:
    chat = chats().get(caller.account_id, chat_id)
    return ChatWithMessages.with_messages(chat, chats().branches(chat))


@blueprint.patch("/chats/<chat_id>")
@documented(
    "Rename a chat, change its system prompt, model or parameters, or show another branch",
    errors=(errors.NotFound,),
)
def change(caller: Caller, chat_id: str, body: ChatChanges) -> ChatInfo:
    return ChatInfo.of(chats().update(caller.account_id, chat_id, body.changes(), now_ms()))


@blueprint.delete("/chats/<chat_id>")
@documented("Delete a chat", errors=(errors.NotFound,))
def delete(caller: Caller, chat_id: str) -> None:
    chats().delete(caller.account_id, chat_id)


handler = lambda_handler(blueprint)
