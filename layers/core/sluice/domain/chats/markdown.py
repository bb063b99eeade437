"""A chat as a Markdown document: readable as it stands, and by every program that reads Markdown."""

from collections.abc import Callable, Sequence

from sluice.domain.chats.chat import Chat, ChatMessage

NAMES = {"user": "You", "assistant": "Model"}


def as_markdown(chat: Chat, messages: Sequence[ChatMessage], moment: Callable[[int], str]) -> str:
    """`moment` writes a time given in Unix ms. The titles' levels leave the model's own headings below them."""
    parts = [f"# {_one_line(chat.title)}", f"Begun {moment(chat.created_ms)}."]
    if chat.system:
        parts += ["## System prompt", chat.system]
    for message in messages:
        ended_early = " (ended early)" if message.status == "broken_off" else ""
        parts += [f"## {NAMES[message.role]}, {moment(message.created_ms)}{ended_early}", message.content]
    return "\n\n".join(parts) + "\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())
