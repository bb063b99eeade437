"""A chat as a Markdown document."""

from collections.abc import Callable, Sequence

from sluice.domain.chats.chat import Chat, ChatMessage

NAMES = {"user": "You", "assistant": "Model"}


def as_markdown(chat: Chat, messages: Sequence[ChatMessage], moment: Callable[[int], str]) -> str:
    """`moment` formats a time in Unix ms. Titles use levels 1 and 2, so that the model's own headings can go below."""
    parts = [f"# {_one_line(chat.title)}", f"Begun {moment(chat.created_ms)}."]
    if chat.system:
        parts += ["## System prompt", chat.system]
    for message in messages:
        stopped = " (stopped)" if message.status == "broken_off" else ""
        parts += [f"## {NAMES[message.role]}, {moment(message.created_ms)}{stopped}", message.content]
    return "\n\n".join(parts) + "\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())
