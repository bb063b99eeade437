"""Renders messages to prompt text with the model's chat template, in jinja's sandbox."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import jinja2
import jinja2.ext
from jinja2.lexer import Token, TokenStream
from jinja2.sandbox import ImmutableSandboxedEnvironment

from functions.inference.errors import InvalidRequest
from functions.inference.models.prompt_tokenizer import Role
from functions.inference.models.role_order import orders
from functions.inference.tools.families import HERMES, family_of

REFUSED = "The model's chat template does not accept these messages"
MAX_REASON_CHARACTERS = 300


class _GenerationTag(jinja2.ext.Extension):
    """Some templates mark training targets with `{% generation %}`; the tag renders its content."""

    tags = {"generation"}  # noqa: RUF012 - jinja's own convention

    def parse(self, parser: Any) -> Any:
        parser.stream.skip(1)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _OwnText(jinja2.ext.Extension):
    """Marks the text that a template itself writes: what stands outside tags, and string literals."""

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        for token in stream:
            own = token.type in ("data", "string")
            yield token._replace(value=self.environment.mark(token.value)) if own else token  # type: ignore[attr-defined]


class ChatTemplate:
    """A compiled template. Templates of model files are untrusted, so they run in a sandbox."""

    def __init__(self, source: str, *, mark: Callable[[str], str] | None = None, bos: str = "", eos: str = "") -> None:
        """`mark`: see PromptTokenizer. Without it, the prompt is plain text."""
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, _OwnText, jinja2.ext.loopcontrols]
        )
        self._role: Callable[[str], str] = Role if mark else str
        mark = mark or str
        environment.extend(mark=mark)
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        self._template = environment.from_string(source)
        self._special = {"bos_token": mark(bos), "eos_token": mark(eos)}
        self.knows_tools = "tools" in source
        self.knows_calls = self.knows_tools or "tool_calls" in source
        self.family = family_of(source)
        self.thinks = (self.family or HERMES).thought[1] in source

    def render(self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] | None = None) -> str:
        """The prompt. Turns are merged where the template does not take them as they are, or drops a system message.

        Raises InvalidRequest when the template refuses the conversation or fails on it."""
        refusals: list[InvalidRequest] = []
        for order in orders(messages):
            try:
                prompt = self._render(order, tools)
                if not self._drops_system(order, tools):
                    return prompt
            except InvalidRequest as refusal:
                refusals.append(refusal)
        raise refusals[0] if refusals else InvalidRequest(f"{REFUSED}: it drops a system message", "messages")

    def _drops_system(self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] | None) -> bool:
        """Whether a system message is left out without a word: gpt-oss' template does so with all but the first.

        It is tried with short texts in the place of all contents, so that it costs little and no caller decides it."""
        if not any(turn["role"] == "system" for turn in messages):
            return False
        probed = [turn | {"content": f"qz{at}qz"} for at, turn in enumerate(messages)]
        prompt = self._render(probed, tools and tools[:1]).lower()
        return not all(f"qz{at}qz" in prompt for at, turn in enumerate(messages) if turn["role"] == "system")

    def _render(self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] | None) -> str:
        try:
            return self._template.render(
                messages=[message | {"role": self._role(message["role"])} for message in messages],
                tools=tools or None,
                add_generation_prompt=True,
                **self._special,
            )
        except Exception as exc:  # any failure of a template is caused by the messages
            reason = str(exc)[:MAX_REASON_CHARACTERS].encode(errors="replace").decode()  # without markers
            raise InvalidRequest(f"{REFUSED}: {reason}", "messages") from exc


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(value: Any, indent: int | None = None, ensure_ascii: bool = False, **_options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)
