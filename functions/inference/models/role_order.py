"""Other orders of a conversation's turns, for chat templates that do not take every order.

Nothing is left out: system messages are moved to the front or into the first user's turn, and turns of one role in a
row are joined. Where the roles must alternate, an empty turn stands between a tool's result and the user's next words.
"""

from collections.abc import Iterator, Sequence
from typing import Any

Turn = dict[str, Any]


def orders(messages: Sequence[Turn]) -> Iterator[Sequence[Turn]]:
    """The conversation as it is; with one system message in front and turns joined; without a system message; and the
    last two with empty turns between those that do not alternate."""
    seen = [list(messages)]
    yield messages
    system = _joined([turn for turn in messages if turn["role"] == "system"])
    others = _joined([turn for turn in messages if turn["role"] != "system"])
    for turns in (others, _alternating(others)):
        for order in ([*system, *turns], _joined([*(turn | {"role": "user"} for turn in system), *turns])):
            if order not in seen:
                seen.append(order)
                yield order


def _alternating(turns: Sequence[Turn]) -> list[Turn]:
    alternating: list[Turn] = []
    for turn in turns:
        last = alternating[-1] if alternating else None
        if last is None and turn["role"] == "assistant":
            alternating.append({"role": "user", "content": ""})
        elif last and turn["role"] == "user" and (last["role"] == "tool" or last.get("tool_calls")):
            alternating.append({"role": "assistant", "content": ""})
        alternating.append(turn)
    return alternating


def _joined(turns: Sequence[Turn]) -> list[Turn]:
    joined: list[Turn] = []
    for turn in turns:
        last = joined[-1] if joined else None
        alike = last is not None and turn["role"] == last["role"] != "tool"
        if last and alike and not (turn.get("tool_calls") or last.get("tool_calls") or "</think>" in turn["content"]):
            joined[-1] = last | {"content": "\n\n".join(filter(None, (last["content"], turn["content"])))}
        else:
            joined.append(turn)
    return joined
