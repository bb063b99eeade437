"""Chats in the contents table: `chat#ID` for a chat, `chatmsg#ID#MESSAGE` for its messages, `chats` for how many chats
there are. They do not expire. The index `by_use` sorts an account's chats, the only items with `updated_ms`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from sluice.adapters.aws import dynamo
from sluice.adapters.aws.counted_rows import CountedRows
from sluice.domain.chats.chat import MOST_CHATS, Chat, ChatMessage, Cited, Place
from sluice.domain.errors import NotFound

SCHEMA = 1
CHAT_EXISTS = "attribute_exists(item_id)"
MOST_WRITES, MOST_CHARACTERS = 50, 250_000  # of messages in a transaction


class DynamoChats:
    """`sluice.ports.ChatStore`."""

    def __init__(self, table_prefix: str) -> None:
        self._table = table_prefix + "contents"
        self._chats = CountedRows(self._table, "chat#", "chats", MOST_CHATS, "chats")

    def put(self, chat: Chat) -> None:
        self._chats.add(chat.account_id, dynamo.item(_chat_item(chat)))

    def get(self, account_id: str, chat_id: str) -> Chat | None:
        with dynamo.store_errors():
            answer = dynamo.client().get_item(
                TableName=self._table, Key=self._key(account_id, f"chat#{chat_id}"), ConsistentRead=True
            )
        return _chat(dynamo.values(answer["Item"])) if "Item" in answer else None

    def page(self, account_id: str, limit: int, after: Place | None) -> tuple[list[Chat], Place | None]:
        """The index gives the order, the table the chats: the index lags, and a deleted chat is no longer there."""
        request: Any = {
            "TableName": self._table,
            "IndexName": "by_use",
            "KeyConditionExpression": "account_id = :account",
            "ExpressionAttributeValues": dynamo.item({":account": account_id}),
            "ScanIndexForward": False,
            "Limit": limit + 1,
        }
        if after:
            place = {"account_id": account_id, "updated_ms": after[0], "item_id": f"chat#{after[1]}"}
            request["ExclusiveStartKey"] = dynamo.item(place)
        with dynamo.store_errors():
            answer = dynamo.client().query(**request)
        order = [dynamo.values(found) for found in answer["Items"]]
        keys = ({"account_id": account_id, "item_id": one["item_id"]} for one in order[:limit])
        there = {item["item_id"]: _chat(item) for item in dynamo.get_all(self._table, keys)}
        last = order[limit - 1] if len(order) > limit else None
        return (
            [there[one["item_id"]] for one in order[:limit] if one["item_id"] in there],
            (last["updated_ms"], last["item_id"].removeprefix("chat#")) if last else None,
        )

    def change(
        self, account_id: str, chat_id: str, changes: Mapping[str, Any], was: Mapping[str, Any] | None = None
    ) -> Chat | None:
        request = {**self._change(account_id, chat_id, changes, was or {}), "ReturnValues": "ALL_NEW"}
        try:
            written = dynamo.write(lambda: dynamo.client().update_item(**request))
        except dynamo.ConditionFailed:
            return None
        return _chat(dynamo.values(written["Attributes"]))

    def turn(
        self,
        account_id: str,
        chat_id: str,
        changes: Mapping[str, Any],
        was: Mapping[str, Any],
        add: ChatMessage | None = None,
        drop: str | None = None,
    ) -> bool:
        writes: list[Any] = [{"Update": self._change(account_id, chat_id, changes, was)}]
        if add is not None:
            item = dynamo.item(_message_item(account_id, chat_id, add))
            writes.append({"Put": {"TableName": self._table, "Item": item}})
        if drop is not None:
            key = self._key(account_id, f"chatmsg#{chat_id}#{drop}")
            writes.append({"Delete": {"TableName": self._table, "Key": key}})
        try:
            if len(writes) == 1:  # a transaction costs twice as much
                dynamo.write(lambda: dynamo.client().update_item(**writes[0]["Update"]))
            else:
                dynamo.write(lambda: dynamo.client().transact_write_items(TransactItems=writes))
        except dynamo.ConditionFailed:
            return False
        return True

    def _change(self, account_id: str, chat_id: str, changes: Mapping[str, Any], was: Mapping[str, Any]) -> Any:
        new, old = _stored(changes), _stored(was)
        same = [f"(#{name} = :was_{name}{'' if old[name] else f' OR attribute_not_exists(#{name})'})" for name in old]
        return {
            "TableName": self._table,
            "Key": self._key(account_id, f"chat#{chat_id}"),
            "UpdateExpression": "SET " + ", ".join(f"#{name} = :{name}" for name in new),
            "ConditionExpression": " AND ".join([CHAT_EXISTS, *same]),
            "ExpressionAttributeNames": {f"#{name}": name for name in {**new, **old}},
            "ExpressionAttributeValues": dynamo.item(
                {f":{name}": value for name, value in new.items()} | {f":was_{name}": old[name] for name in old}
            ),
        }

    def delete(self, account_id: str, chat_id: str) -> None:
        """Delete the chat first. Messages that remain after a failure belong to no chat and are not shown."""
        self._chats.remove(account_id, f"chat#{chat_id}")
        only = ("account_id", "item_id")
        dynamo.delete_all(
            self._table, dynamo.query(self._table, {"account_id": account_id}, begins=f"chatmsg#{chat_id}#", only=only)
        )

    def messages(self, account_id: str, chat_id: str) -> list[ChatMessage]:
        found = dynamo.query(self._table, {"account_id": account_id}, begins=f"chatmsg#{chat_id}#")
        return [_message(item) for item in found]

    def add(self, account_id: str, chat_id: str, *messages: ChatMessage) -> None:
        """Only into a chat that exists, so that a deletion meanwhile leaves no message."""
        chat = {"TableName": self._table, "Key": self._key(account_id, f"chat#{chat_id}")}
        check: Any = {"ConditionCheck": {**chat, "ConditionExpression": CHAT_EXISTS}}
        for some in _in_transactions(messages):
            items = [dynamo.item(_message_item(account_id, chat_id, message)) for message in some]
            writes = [*({"Put": {"TableName": self._table, "Item": item}} for item in items), check]
            try:
                dynamo.write(partial(dynamo.client().transact_write_items, TransactItems=writes))
            except dynamo.ConditionFailed as exc:
                raise NotFound() from exc

    def _key(self, account_id: str, item_id: str) -> Any:
        return dynamo.item({"account_id": account_id, "item_id": item_id})


def _in_transactions(messages: Sequence[ChatMessage]) -> Iterator[list[ChatMessage]]:
    """A transaction may have 100 writes and 4 MB; a character has at most 4 bytes."""
    some: list[ChatMessage] = []
    characters = 0
    for message in messages:
        some.append(message)
        characters += len(message.content) + len(message.reasoning or "")
        if len(some) == MOST_WRITES or characters > MOST_CHARACTERS:
            yield some
            some, characters = [], 0
    if some:
        yield some


def _message_item(account_id: str, chat_id: str, message: ChatMessage) -> dict[str, Any]:
    key = {"account_id": account_id, "item_id": f"chatmsg#{chat_id}#{message.message_id}"}
    return {**key, "schema": SCHEMA, **{name: value for name, value in asdict(message).items() if value is not None}}


def _chat_item(chat: Chat) -> dict[str, Any]:
    return {"item_id": f"chat#{chat.chat_id}", "schema": SCHEMA, **_stored(asdict(chat))}


def _stored(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The temperature is stored as text, because all numbers in our tables are integers."""
    return {name: value if name != "temperature" or value is None else str(value) for name, value in fields.items()}


def _chat(item: dict[str, Any]) -> Chat:
    plain = {name: item.get(name) for name in Chat.__dataclass_fields__}
    if plain["temperature"] is not None:
        plain["temperature"] = float(plain["temperature"])
    plain["files"] = plain["files"] or ()
    return Chat(**plain)  # type: ignore[arg-type]


def _message(item: dict[str, Any]) -> ChatMessage:
    fields = {name: item[name] for name in ChatMessage.__dataclass_fields__ if name in item}
    if "citations" in fields:
        fields["citations"] = [Cited(**cited) for cited in fields["citations"]]
    return ChatMessage(**fields)
