"""Other orders of a conversation's turns, for chat templates that do not take every order.

Nothing is left out: system messages are moved to the front or into the first user's turn, and turns of one role in a
row are joined.
"""

from collections.abc import Iterator, Sequence
from typing import Any

Turn = dict[str, Any]


def orders(messages: Sequence[Turn]) -> Iterator[Sequence[Turn]]:
    """The conversation as it is; with one system message in front and turns joined; and without a system message."""
    yield messages
    system = [turn for turn in messages if turn["role"] == "system"]
    others = _joined([turn for turn in messages if turn["role"] != "system"])
    if not system:
        if others != list(messages):
            yield others
        return
    first = _joined(system)[0]
    if [first, *others] != list(messages):
        yield [first, *others]
    yield _joined([first | {"role": "user"}, *others])


def _joined(turns: Sequence[Turn]) -> list[Turn]:
    joined: list[Turn] = []
    for turn in turns:
        last = joined[-1] if joined else None
        if last and turn["role"] == last["role"] != "tool" and not (turn.get("tool_calls") or last.get("tool_calls")):
            joined[-1] = last | {"content": "\n\n".join(filter(None, (last["content"], turn["content"])))}
        else:
            joined.append(turn)
    return joined
