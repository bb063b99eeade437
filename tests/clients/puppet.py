"""A model server that chooses as a large model would: it calls the tools that fit, fills schemas, and else answers.

It decides from the request alone, so that a program's whole loop can be run, and it counts what it made.
"""

import json
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.browser import stage
from tests.e2e.people import Person
from tests.waiting import eventually

MODELS = [
    {
        "id": "demo",
        "object": "model",
        "created": 1,
        "owned_by": "sluice",
        "context_window": 131_072,
        "capabilities": ["chat", "completions", "embeddings"],
    }
]
LIMITS = {"rpm": 100_000, "tpm": 100_000_000, "concurrency": 200, "monthly_tokens": 1_000_000_000}
JOKE = '{"setup": "Why?", "punchline": "Because."}'  # JSON of no given schema, as LangChain asks it in words
PIECE = 12  # characters of a chunk
Body = dict[str, Any]


@dataclass(frozen=True)
class Said:
    """An answer: text, or calls as (name, arguments)."""

    text: str = ""
    calls: tuple[tuple[str, Body], ...] = ()


Mind = Callable[[Body], Said]


def mind(body: Body) -> Said:
    """A forced or offered tool is called once a question; then its result is told."""
    last = body["messages"][-1]
    if last["role"] == "tool":
        return Said(f"The tool said: {plain(last)}")
    choice, tools = body.get("tool_choice", "auto"), body.get("tools") or []
    if tools and choice != "none":
        wanted = choice["function"]["name"] if isinstance(choice, dict) else tools[0]["function"]["name"]
        tool = next(one["function"] for one in tools if one["function"]["name"] == wanted)
        return Said(calls=((wanted, instance(tool.get("parameters") or {}, question(body))),))
    format_ = body.get("response_format") or {}
    if format_.get("type") == "json_schema":
        return Said(json.dumps(instance(format_["json_schema"]["schema"], question(body)), ensure_ascii=False))
    return Said(JOKE if format_.get("type") == "json_object" else "The capital of France is Paris.")


def question(body: Body) -> str:
    return next((plain(one) for one in reversed(body["messages"]) if one["role"] == "user"), "")


def plain(message: Body) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def instance(schema: Body, asked: str, root: Body | None = None) -> Any:
    """A value that the schema allows; numbers and quoted texts are taken from the question."""
    root = root or schema
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return instance((root.get("$defs") or root.get("definitions"))[name], asked, root)
    for key in ("enum", "anyOf", "oneOf", "allOf"):
        if key in schema:
            first = schema[key][0]
            return first if key == "enum" else instance(first, asked, root)
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type", "object")
    if kind == "object":
        return {name: instance(one, asked, root) for name, one in schema.get("properties", {}).items()}
    if kind == "array":
        return [instance(schema["items"], asked, root)]
    number, quoted = re.search(r"\d+", asked), re.search(r"'([^']+)'", asked)
    values = {
        "integer": int(number[0]) if number else 1,
        "number": float(number[0]) if number else 1.0,
        "boolean": True,
    }
    return values.get(kind, None if kind == "null" else quoted[1] if quoted else "Paris")


class Puppet(stage.Model):
    """`counts`: prompt and completion tokens of each answer, as the engine reports them."""

    def __init__(self) -> None:
        super().__init__(MODELS)
        self.mind: Mind = mind
        self.counts: list[tuple[int, int]] = []

    def _answer(self, write: Any, body: Body) -> None:
        prompt, completion = len(json.dumps(body["messages"])) // 4, 0
        said = self.mind(body)
        for delta in deltas(said):
            completion += 1
            write(b": usage %d %d 0\ndata: %s\n\n" % (prompt, completion, _chunk(delta)))
        self.counts.append((prompt, completion))
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        end = _chunk({}, "tool_calls" if said.calls else "stop")
        write(b"data: %s\n\ndata: %s\n\ndata: [DONE]\n\n" % (end, _chunk(None, usage=usage)))


def deltas(said: Said) -> Iterator[Body]:
    yield {"role": "assistant", "content": None if said.calls else ""}
    for start in range(0, len(said.text), PIECE):
        yield {"content": said.text[start : start + PIECE]}
    for index, (name, arguments) in enumerate(said.calls):
        text = json.dumps(arguments, ensure_ascii=False)
        head = {"id": f"call_{secrets.token_hex(4)}", "type": "function"}
        yield {"tool_calls": [{"index": index, **head, "function": {"name": name, "arguments": ""}}]}
        for start in range(0, len(text), PIECE):
            yield {"tool_calls": [{"index": index, "function": {"arguments": text[start : start + PIECE]}}]}


def _chunk(delta: Body | None, reason: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]
    head = {"id": "chatcmpl-x", "object": "chat.completion.chunk", "created": 1, "model": "demo"}
    return json.dumps({**head, "choices": choices, **more}, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass
class Scripted:
    """A person of a running gateway with the puppet behind it."""

    person: Person
    puppet: Puppet

    def check_ledger(self) -> None:
        """The ledger has exactly the engine's counts, a record an answer. Errors: AssertionError."""
        assert self.puppet.counts
        eventually(lambda: sorted(self._ledger()) == sorted(self.puppet.counts))

    def _ledger(self) -> list[tuple[int, int]]:
        rows: list[Body] = []
        cursor: str | None = ""
        while cursor is not None:
            page = self.person.call("GET", "/usage/logs", params={"limit": 100, "cursor": cursor or None}).json()
            rows, cursor = rows + page["data"], page["next_cursor"]
        return [(row["prompt_tokens"], row["completion_tokens"]) for row in rows]


@contextmanager
def opened(folder: Path) -> Iterator[Callable[[], Scripted]]:
    """`new()`: a person without records; the puppet's counts begin anew."""
    puppet = Puppet()
    with stage.opened(folder, puppet) as running:

        def new() -> Scripted:
            person, account_id = running.person()
            running.world.set_grant(account_id, limits=LIMITS)
            person.api_token = person.mint()["token"]
            puppet.counts, puppet.asked, puppet.mind = [], [], mind
            return Scripted(person, puppet)

        yield new


def working(*calls: tuple[str, Body]) -> Mind:
    """Makes these calls one after the other, each after the result of the one before. Answers what has no tools."""

    def next_step(body: Body) -> Said:
        offered = {one["function"]["name"] for one in body.get("tools") or []}
        done = sum(message["role"] == "tool" for message in body["messages"])
        if not offered.issuperset(name for name, _ in calls):
            return Said("Tea")  # a title for the session
        return Said(calls=(calls[done],)) if done < len(calls) else Said("The file says black now.")

    return next_step
