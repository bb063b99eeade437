"""Renders messages to prompt text with the model's chat template, in jinja's sandbox."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from functions.inference.errors import InvalidRequest

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""For models whose file has no template."""

REFUSED = "The model's chat template does not accept these messages"


class _GenerationTag(jinja2.ext.Extension):
    """Some templates mark training targets with `{% generation %}`; the tag renders its content."""

    tags = {"generation"}  # noqa: RUF012 - jinja's own convention

    def parse(self, parser: Any) -> Any:
        parser.stream.skip(1)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatTemplate:
    """A compiled template. Templates of model files are untrusted, so they run in a sandbox."""

    def __init__(self, source: str, *, bos: str = "", eos: str = "") -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, jinja2.ext.loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        self._template = environment.from_string(source)
        self._special = {"bos_token": bos, "eos_token": eos}
        self.knows_tools = "tools" in source

    def render(self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] | None = None) -> str:
        """The prompt. Raises InvalidRequest when the template refuses the conversation or fails on it."""
        try:
            return self._template.render(
                messages=list(messages), tools=tools or None, add_generation_prompt=True, **self._special
            )
        except InvalidRequest:
            raise
        except Exception as exc:  # any failure of a template is caused by the messages
            raise InvalidRequest(f"{REFUSED}: {exc}", "messages") from exc


def _refuse(message: str) -> None:
    raise InvalidRequest(f"{REFUSED}: {message}", "messages")


def _to_json(value: Any, indent: int | None = None, ensure_ascii: bool = False, **_options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)
