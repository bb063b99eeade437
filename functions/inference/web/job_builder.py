"""Builds a job from a validated request: prompt, sampling, limits."""

import contextlib
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from werkzeug.datastructures import Headers

from functions.inference.engine.jobs import Job, Matcher, Sampling
from functions.inference.errors import InvalidRequest
from functions.inference.llama.vocab import LlamaVocab
from functions.inference.models.loading import ChatModel
from functions.inference.models.prompt_tokenizer import plain_tokens
from functions.inference.openai.requests import ChatRequest, CompletionRequest, Message, SamplingFields, Tool
from functions.inference.settings import InferenceSettings
from functions.inference.tools.families import GEMMA, HARMONY, HERMES, LLAMA
from functions.inference.tools.grammar import (
    Form,
    answer_grammar,
    call_grammar,
    forced_tools,
    offered_tools,
    schemas_of,
)
from functions.inference.tools.parser import has_first_call, parser_for
from functions.inference.tools.parts import Parser
from functions.inference.tools.prompt import described, introduce, one_call_a_turn, paired, tool_turn

MOST_PROMPTS = 64
MOST_FORCED = 100
"""Tokens that an answer begins with and that stand in the prompt. Those of a call are within what the gateway reserves
for tools; those of other JSON are taken from `max_tokens`."""
MESSAGE_ROLES = {"developer": "system"}
"""OpenAI's newer name of the role that templates call system."""

UNKNOWN_FORM = "This model's template writes tool calls in a form that is not supported here; leave out `tools`."


def chat_jobs(request: ChatRequest, model: ChatModel, max_tokens: int, tries: int = 1) -> list[Job]:
    """A job for each choice. `max_tokens`: the default. `tries`: 2 if an answer that breaks its schema may be
    made again. Raises InvalidRequest, also for messages that the template refuses."""
    forced = forced_tools(request)
    family = model.template.family
    offered = offered_tools(request)
    if offered and family is None:
        raise InvalidRequest(UNKNOWN_FORM, "tools")
    if forced and family is GEMMA:
        raise InvalidRequest("This model's calls cannot be forced; use `auto`.", "tool_choice")
    shown = shown_tokens(model, calls=bool(offered))
    prompt = model.prompts.encode(chat_prompt(request, model))
    form = form_of(prompt, model, shown)
    calls = partial(call_grammar, forced or offered, request.tools or [], form)
    grammar = calls() if forced else answer_grammar(request.response_format, form)
    if offered and not forced:
        model.vocab.grammars.compile_once(_digest(offered), calls)
    if request.top_logprobs is not None and not request.logprobs:
        raise InvalidRequest("`top_logprobs` needs `logprobs: true`.", "top_logprobs")
    sampling, stops = sampling_of(request, model), stops_of(request)
    ends_with_call = offered and not forced and request.parallel_tool_calls is False
    limit = request.max_completion_tokens or request.max_tokens or max_tokens
    most = MOST_FORCED if forced else min(MOST_FORCED, limit - 1)

    def job(index: int, prompt: tuple[int, ...]) -> Job:
        matcher = None if grammar is None else model.vocab.grammars.matcher(grammar)
        first, text = ([], "") if matcher is None or request.logprobs or stops else _begun(matcher, most, model, shown)
        made = Job(
            (*prompt, *first),
            limit if forced else limit - len(first),
            replace(reseeded(sampling, index), matcher=matcher),
            stops,
            logprobs=(request.top_logprobs or 0) if request.logprobs else None,
            shown=shown,
            begun=text,
        )
        if ends_with_call and (parser := parser_of(request, model, made)) is not None:
            made.complete = has_first_call(parser)
            made.complete(text)
        return made

    def twice(index: int) -> Job:
        first = job(index, prompt)
        first.again = lambda fault: job(index, model.prompts.encode(chat_prompt(told(request, fault), model)))
        return first

    return [twice(index) if tries > 1 else job(index, prompt) for index in range(request.n or 1)]


def shown_tokens(model: ChatModel, *, calls: bool) -> dict[int, bytes]:
    """The control tokens that the answer's text shows by their names: those of the form of calls, if calls may come or
    the form is that of reasoning, too, and those around reasoning."""
    family = model.template.family or HERMES
    names = family.controls if calls or family in (GEMMA, HARMONY) else ()
    return model.prompts.tokens_named((*names, *(family.thought if model.template.thinks else ())))


def told(request: ChatRequest, fault: str) -> ChatRequest:
    """The request with what was wrong with its first answer."""
    message = Message(role="user", content=f"Your last answer {fault}. Answer again, as the JSON schema says.")
    return request.model_copy(update={"messages": [*request.messages, message]})


def _begun(matcher: Matcher, most: int, model: ChatModel, shown: Mapping[int, bytes]) -> tuple[list[int], str]:
    """The first tokens of the answer, `most` at most, that can only be these, and their text."""
    tokens = matcher.forced()[: max(0, most)]
    while tokens:
        try:
            text = b"".join(shown.get(token) or model.vocab.piece(token) for token in tokens).decode()
        except UnicodeDecodeError:  # cut within a character
            tokens.pop()
            continue
        for token in tokens:
            matcher.accept(token)
        return tokens, text
    return [], ""


def _digest(tools: Sequence[Tool]) -> bytes:
    said = [(tool.function.name, tool.function.parameters, tool.function.strict) for tool in tools]
    return hashlib.sha256(repr(said).encode(errors="replace")).digest()


def reseeded(sampling: Sampling, index: int) -> Sampling:
    """The sampling of the choice `index`: with one seed for all, they would be equal."""
    return sampling if sampling.seed is None else replace(sampling, seed=(sampling.seed + index) % 2**64)


def parser_of(request: ChatRequest, model: ChatModel, job: Job) -> Parser | None:
    """The parser of the answer; None where it can hold neither calls nor reasoning."""
    template = model.template
    if not offered_tools(request) and not template.thinks and template.family is not HARMONY:
        return None
    inside = not job.begun and form_of(job.prompt, model, job.shown).inside
    return parser_for(template.family, template.thinks, inside, schemas_of(request.tools or []))


def form_of(prompt: Sequence[int], model: ChatModel, shown: Mapping[int, bytes]) -> Form:
    """How the model answers the prompt: some templates open the reasoning, and some also close it."""
    family, tail = model.template.family or HERMES, b"".join(shown.get(t) or model.vocab.piece(t) for t in prompt[-8:])
    opens, closes = (tail.rstrip().endswith(tag.strip().encode()) for tag in family.thought)
    return Form(family, shown, model.template.thinks and not closes, model.template.thinks and opens)


def chat_prompt(request: ChatRequest, model: ChatModel) -> str:
    """The rendered conversation with its tools. Raises InvalidRequest."""
    messages = [template_message(message, model) for message in paired(request.messages)]
    if model.template.family in (HARMONY, LLAMA):
        messages = one_call_a_turn(messages)
    specs = [described(tool) for tool in offered_tools(request)]
    if not specs:
        return model.template.render(messages)
    if model.template.knows_tools:
        # Some templates fail on a schema, as one with `$ref`; then the tools are described in the messages.
        with contextlib.suppress(InvalidRequest):
            return model.template.render(messages, specs)
    return model.template.render(introduce(messages, specs, model.template.family or HERMES))


def completion_jobs(request: CompletionRequest, model: ChatModel, max_tokens: int) -> list[Job]:
    """A job for each choice, those of one prompt in a row. `max_tokens`: the default. Raises InvalidRequest."""
    if request.max_tokens == 0 and not request.echo:
        raise InvalidRequest("`max_tokens: 0` needs `echo: true`: there is nothing else to answer.", "max_tokens")
    sampling, stops = sampling_of(request, model), stops_of(request)
    most = max_tokens if request.max_tokens is None else request.max_tokens
    scores = bool(request.echo) and request.logprobs is not None
    return [
        Job(prompt, most, reseeded(sampling, index), stops, logprobs=request.logprobs, scores=scores)
        for prompt in completion_prompts(request, model)
        for index in range(request.n or 1)
    ]


def completion_prompts(request: CompletionRequest, model: ChatModel) -> list[tuple[int, ...]]:
    """Each prompt's tokens, where control tokens' names are plain text; for an empty prompt the start token. Raises
    InvalidRequest for no or too many prompts, and for unknown tokens."""
    given: Any = request.prompt
    if isinstance(given, str) or (given and isinstance(given[0], int)):
        given = [given]
    if not 0 < len(given) <= MOST_PROMPTS:
        raise InvalidRequest(f"Give 1 to {MOST_PROMPTS} prompts.", "prompt")
    vocab, whole = model.vocab, not request.suffix
    lists = [plain_tokens(one, vocab, "prompt", frame=whole) if isinstance(one, str) else list(one) for one in given]
    if any(not 0 <= token < vocab.vocab_tokens for tokens in lists for token in tokens):
        raise InvalidRequest(f"Tokens must lie between 0 and {vocab.vocab_tokens - 1}.", "prompt")
    if request.suffix:
        lists = infill_prompts(request, lists, vocab)
    return [tuple(tokens) or (vocab.start_token,) for tokens in lists]


def infill_prompts(request: CompletionRequest, before: Sequence[list[int]], vocab: LlamaVocab) -> list[list[int]]:
    """Prompts for what stands between each text and the suffix. Raises InvalidRequest."""
    if request.echo:
        raise InvalidRequest(
            "`echo` does not go with `suffix`: the prompt is not a text from its start to its end.", "echo"
        )
    after = plain_tokens(request.suffix or "", vocab, "suffix")
    prompts = [vocab.infill(tokens, after) for tokens in before]
    if None in prompts:
        raise InvalidRequest("This model has no infill tokens; leave out `suffix`.", "suffix")
    return [prompt for prompt in prompts if prompt]


def template_message(message: Message, model: ChatModel) -> dict[str, Any]:
    """A message as the template gets it."""
    seen: dict[str, Any] = {
        "role": MESSAGE_ROLES.get(message.role, message.role),
        "content": content_text(message),
    }
    if message.name is not None:
        seen["name"] = message.name
    if message.role == "assistant" and message.reasoning_content:
        seen["reasoning_content"] = message.reasoning_content
        if message.tool_calls and not seen["content"]:
            seen["thinking"] = message.reasoning_content  # gpt-oss' name for it, which takes no content beside it
    return tool_turn(message, seen, model.template.knows_calls)


def content_text(message: Message) -> str:
    """A message's text parts, joined."""
    if message.content is None and message.refusal:
        return message.refusal
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    return "\n".join(part.text for part in message.content)


def stops_of(request: SamplingFields) -> tuple[str, ...]:
    """The stop strings without empty ones, which would stop every answer at once."""
    stops = [request.stop] if isinstance(request.stop, str) else request.stop or []
    return tuple(stop for stop in stops if stop)


def sampling_of(request: SamplingFields, model: ChatModel) -> Sampling:
    """The request's values, else the model's defaults. Raises InvalidRequest (`logit_bias`)."""
    defaults = model.entry.sampling.model_dump()
    given = request.model_dump(include=set(defaults), exclude_none=True)
    return Sampling(
        **(defaults | given),
        presence_penalty=request.presence_penalty or 0.0,
        frequency_penalty=request.frequency_penalty or 0.0,
        seed=request.seed,
        logit_bias=_biases(request.logit_bias or {}, model.vocab.vocab_tokens),
    )


def _biases(given: dict[str, float], vocab_tokens: int) -> dict[int, float]:
    if not all(key.isascii() and key.isdigit() and len(key) < 8 and int(key) < vocab_tokens for key in given):
        raise InvalidRequest(f"Keys must be tokens between 0 and {vocab_tokens - 1}.", "logit_bias")
    return {int(key): value for key, value in given.items()}


def deadline_of(headers: Headers, settings: InferenceSettings) -> float:
    """The deadline that a request names, or the longest one. Raises InvalidRequest."""
    return deadline_s(headers.get("x-sluice-deadline-ms"), settings.request_timeout_ms)


def is_low(headers: Headers) -> bool:
    """Whether the request is a row of a batch."""
    return headers.get("x-sluice-priority") == "low"


def deadline_s(header_ms: str | None, default_ms: int) -> float:
    """The deadline in seconds on the monotonic clock, at most `default_ms` from now. Raises InvalidRequest."""
    if header_ms is None:
        left_ms = default_ms
    elif header_ms.isascii() and header_ms.isdigit() and len(header_ms) < 16:
        left_ms = min(int(header_ms), default_ms)
    else:
        raise InvalidRequest("The header x-sluice-deadline-ms must be a whole number of milliseconds.")
    return time.monotonic() + left_ms / 1000
