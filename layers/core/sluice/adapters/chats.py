"""Chats in the contents table: `chat#ID` for a chat, `chatmsg#ID#MESSAGE` for its messages. They do not expire."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from sluice.adapters.aws import dynamo
from sluice.domain.chats.chat import Chat, ChatMessage, Cited
from sluice.domain.errors import NotFound

SCHEMA = 1
CHAT_EXISTS = "attribute_exists(item_id)"


class DynamoChats:
    """`sluice.ports.ChatStore`."""

    def __init__(self, table_prefix: str) -> None:
        self._table = table_prefix + "contents"

    def put(self, chat: Chat) -> None:
        item = _chat_item(chat)
        dynamo.write(lambda: dynamo.client().put_item(TableName=self._table, Item=dynamo.item(item)))

    def get(self, account_id: str, chat_id: str) -> Chat | None:
        with dynamo.store_errors():
            answer = dynamo.client().get_item(
                TableName=self._table, Key=self._key(account_id, f"chat#{chat_id}"), ConsistentRead=True
            )
        return _chat(dynamo.values(answer["Item"])) if "Item" in answer else None

    def all(self, account_id: str) -> list[Chat]:
        return [_chat(item) for item in self._query(account_id, "chat#")]

    def update(self, chat: Chat) -> None:
        """Errors: NotFound (deleted in the meantime)."""
        item = _chat_item(chat)
        try:
            dynamo.write(
                lambda: dynamo.client().put_item(
                    TableName=self._table, Item=dynamo.item(item), ConditionExpression=CHAT_EXISTS
                )
            )
        except dynamo.ConditionFailed as exc:
            raise NotFound() from exc

    def delete(self, account_id: str, chat_id: str) -> None:
        """Delete the chat first. Messages that remain after a failure belong to no chat and are not shown."""
        key = self._key(account_id, f"chat#{chat_id}")
        dynamo.write(lambda: dynamo.client().delete_item(TableName=self._table, Key=key))
        self.remove(account_id, chat_id, self.messages(account_id, chat_id))

    def messages(self, account_id: str, chat_id: str) -> list[ChatMessage]:
        return [_message(item) for item in self._query(account_id, f"chatmsg#{chat_id}#")]

    def add(self, account_id: str, chat_id: str, message: ChatMessage) -> None:
        key = {"account_id": account_id, "item_id": _message_key(chat_id, message)}
        item = {**key, "schema": SCHEMA, **{k: v for k, v in asdict(message).items() if v is not None}}
        dynamo.write(lambda: dynamo.client().put_item(TableName=self._table, Item=dynamo.item(item)))

    def remove(self, account_id: str, chat_id: str, messages: Sequence[ChatMessage]) -> None:
        for message in messages:
            key = self._key(account_id, _message_key(chat_id, message))
            dynamo.write(lambda key=key: dynamo.client().delete_item(TableName=self._table, Key=key))  # type: ignore[misc]

    def _key(self, account_id: str, item_id: str) -> Any:
        return dynamo.item({"account_id": account_id, "item_id": item_id})

    def _query(self, account_id: str, prefix: str) -> Iterator[dict[str, Any]]:
        request: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "account_id = :account AND begins_with(item_id, :prefix)",
            "ExpressionAttributeValues": dynamo.item({":account": account_id, ":prefix": prefix}),
            "ConsistentRead": True,
        }
        while True:
            with dynamo.store_errors():
                page = dynamo.client().query(**request)
            yield from map(dynamo.values, page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _message_key(chat_id: str, message: ChatMessage) -> str:
    return f"chatmsg#{chat_id}#{message.message_id}"


def _chat_item(chat: Chat) -> dict[str, Any]:
    """The temperature is stored as text, because all numbers in our tables are integers."""
    temperature = None if chat.temperature is None else str(chat.temperature)
    return {"item_id": f"chat#{chat.chat_id}", "schema": SCHEMA, **asdict(chat), "temperature": temperature}


def _chat(item: dict[str, Any]) -> Chat:
    plain = {name: item.get(name) for name in Chat.__dataclass_fields__}
    if plain["temperature"] is not None:
        plain["temperature"] = float(plain["temperature"])
    return Chat(**plain)  # type: ignore[arg-type]


def _message(item: dict[str, Any]) -> ChatMessage:
    fields = {name: item[name] for name in ChatMessage.__dataclass_fields__ if name in item}
    if "citations" in fields:
        fields["citations"] = [Cited(**cited) for cited in fields["citations"]]
    return ChatMessage(**fields)
