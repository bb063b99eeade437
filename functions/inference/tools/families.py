"""How a family of models writes a tool call. The chat template decides the family, not the model's name (ADR 15)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from functions.inference.tools.arguments import QUOTE, Arguments, GemmaArguments, JsonArguments, XmlArguments

NAME = r'\{\s*(?:"type"\s*:\s*"function"\s*,\s*)?"name"\s*:\s*"([^"\\]{1,128})"\s*,\s*'
ARGUMENTS = NAME + r'"arguments"\s*:\s*(?=[{\[])'
ID = r'\s*(?:,\s*"id"\s*:\s*"[^"]*"\s*)?'


@dataclass(frozen=True)
class Family:
    """One form of a call: `opening`, then `head` (its group is the name), the arguments, then `again` or `end`."""

    name: str
    opening: str
    head: str
    """A pattern. It ends before the arguments."""
    end: str
    """A pattern of what follows the arguments, up to the end of a call."""
    written: tuple[str, str, str]
    """What the grammar writes before the name, before the arguments and after them."""
    again: str = "(?!)"
    """A pattern of what follows the arguments where another call follows without a new opening."""
    controls: tuple[str, ...] = field(default=())
    """Control tokens that are part of the form. The parser sees their names."""
    arguments: Callable[[Mapping[str, Any]], Arguments] = JsonArguments
    """Reads the arguments, given the tool's schema."""
    thought: tuple[str, str] = ("<think>", "</think>")
    """What stands around reasoning."""


HERMES = Family(
    "hermes",
    "<tool_call>",
    r"\s*" + ARGUMENTS,
    r"\s*\}\s*</tool_call>",
    ('<tool_call>\n{"name": "', '", "arguments": ', "}\n</tool_call>"),
    controls=("<tool_call>", "</tool_call>"),
)
LLAMA = Family(
    "llama",
    "<|python_tag|>",
    r"\s*" + NAME + r'"parameters"\s*:\s*(?=\{)',
    r"\s*\}",
    ('{"name": "', '", "parameters": ', "}"),
    again=r"\s*\}\s*[;,]?\s*(?=\{)",
    controls=("<|python_tag|>",),
)
MISTRAL = Family(
    "mistral",
    "[TOOL_CALLS]",
    r"\s*\[?\s*" + ARGUMENTS,
    ID + r"\}\s*\]",
    ('[TOOL_CALLS][{"name": "', '", "arguments": ', "}]"),
    again=ID + r"\}\s*,\s*(?=\{)",
    controls=("[TOOL_CALLS]",),
)
MISTRAL_ARGS = Family(
    "mistral-args",
    "[TOOL_CALLS]",
    r"\s*([^\s\[{]{1,128})\s*(?:\[CALL_ID\][^\[]{0,64})?\[ARGS\]\s*(?=\{)",
    "",
    ("[TOOL_CALLS]", "[ARGS]", ""),
    controls=("[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"),
)
GRANITE = Family(
    "granite",
    "<|tool_call|>",
    MISTRAL.head,
    MISTRAL.end,
    ('<|tool_call|>[{"name": "', '", "arguments": ', "}]"),
    again=MISTRAL.again,
    controls=("<|tool_call|>", "<|/tool_call|>"),
)
DEEPSEEK = Family(
    "deepseek",
    "<｜tool▁call▁begin｜>",
    r"\s*(?:function<｜tool▁sep｜>)?([^\s<]{1,128})(?:<｜tool▁sep｜>|\s*```json)\s*(?=\{)",
    r"\s*(?:```)?\s*<｜tool▁call▁end｜>(?:\s*<｜tool▁calls▁end｜>)?",
    (
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>",
        "<｜tool▁sep｜>",
        "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    ),
    controls=(
        *("<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>"),
        *("<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>"),
    ),
)
HARMONY = Family(
    "harmony",
    "<|channel|>",
    "(?!)",
    "(?!)",
    ("<|channel|>commentary to=functions.", " <|constrain|>json<|message|>", ""),
    controls=("<|channel|>", "<|message|>", "<|constrain|>", "<|end|>", "<|start|>", "<|call|>", "<|return|>"),
)
XML = Family(
    "xml",
    "<tool_call>",
    r"\s*<function=([^>\s]{1,128})>(?=\s*<)",
    r"\s*</tool_call>",
    ("<tool_call>\n<function=", ">\n", "</function>\n</tool_call>"),
    controls=("<tool_call>", "</tool_call>"),
    arguments=XmlArguments,
)
"""Qwen3-Coder, Qwen 3.5, Nemotron 3."""
GEMMA = Family(
    "gemma",
    "<|tool_call>",
    r"\s*call:([^\s{]{1,128})(?=\{)",
    r"\s*<tool_call\|>",
    ("<|tool_call>call:", "", "<tool_call|>"),
    controls=("<|tool_call>", "<tool_call|>", QUOTE, "<|channel>", "<channel|>"),
    arguments=GemmaArguments,
    thought=("<|channel>thought\n", "<channel|>"),
)
OTHER_FORMS = re.compile("<arg_key>|</parameter|<invoke")
"""Calls within `<tool_call>` in other XML (GLM, MiniMax)."""


def family_of(template: str) -> Family | None:
    """The family that a chat template's own text shows; None for a form of calls that is not known here.

    A template that names neither tools nor calls gets them described in Hermes' form."""
    if "<|channel|>" in template and "<|message|>" in template and "functions." in template:
        return HARMONY
    if DEEPSEEK.opening in template:
        return DEEPSEEK
    if "tools" not in template:
        return HERMES
    if "<|tool_call>call:" in template:
        return GEMMA
    if "<tool_call>\\n<function=" in template and "<parameter=" in template:
        return XML
    if OTHER_FORMS.search(template):
        return None
    if "[TOOL_CALLS]" in template:
        return MISTRAL_ARGS if "[ARGS]" in template else MISTRAL
    if "<tool_call>" in template:
        return HERMES
    if "<|tool_call|>" in template:
        return GRANITE
    return LLAMA if "<|start_header_id|>" in template and '"parameters": ' in template else None
