"""Every error of the model server, as data. `web/http_errors.py` maps each to HTTP."""


class InferenceError(Exception):
    """Base class. `str()` gives a sentence that may be shown to the caller."""

    retry_after_s: int | None = None
    param: str | None = None


class InvalidRequest(InferenceError):
    """The request is wrong; `param` names the wrong field."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class InvalidJson(InvalidRequest):
    """The body is not JSON, or not a JSON object."""


class ContextTooLong(InvalidRequest):
    """The prompt fills the context, so that no token of an answer fits."""

    def __init__(self, prompt_tokens: int, context_tokens: int, param: str = "messages") -> None:
        super().__init__(
            f"This model's maximum context length is {context_tokens} tokens; the input has at least {prompt_tokens}.",
            param,
        )


class UnsupportedSchema(InvalidRequest):
    """A JSON schema that is not enforced, or costs too much. The message names the keyword and the place."""


class TooCostly(UnsupportedSchema):
    """Found out while the answer was generated: its grammar takes too long, and other callers wait for it."""

    def __init__(self, param: str) -> None:
        super().__init__("Following the schema takes too long; make it simpler.", param)


class SchemaNotMet(InferenceError):
    """The finished answer breaks its schema, after all tries. `fault`: the end of a sentence."""

    def __init__(self, fault: str, tokens: int) -> None:
        super().__init__(f"The answer {fault} (all {tokens} tokens of prompts and answers were counted).")


class UnknownModel(InferenceError):
    """No model of this name is served."""

    param = "model"

    def __init__(self, name: str) -> None:
        super().__init__(f"The model `{name}` does not exist here; GET /v1/models lists those that do.")


class Overloaded(InferenceError):
    """The queue is full, or the request waited too long."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ModelUnavailable(InferenceError):
    """The model is not loaded yet, or its decode thread failed."""

    retry_after_s = 2


class Draining(ModelUnavailable):
    """The process is shutting down and accepts no new requests."""


class DeadlineExceeded(InferenceError):
    """The caller's deadline passed before the answer was complete."""


class PromptTooSlow(DeadlineExceeded):
    """The prompt alone takes longer than the request may. Said as soon as the speed is known, not at the deadline."""

    def __init__(self, prompt_tokens: int, needed_s: float, left_s: float) -> None:
        super().__init__(
            f"Reading the prompt of {prompt_tokens} tokens would take {needed_s:.0f} s more at the present speed, and "
            f"the request has {left_s:.0f} s left. Shorten the prompt, or try again when the machine is less busy."
        )


class GenerationFailed(InferenceError):
    """llama.cpp failed on this request; the others continue."""

    retry_after_s = 2


class ModelFileError(Exception):
    """A model file cannot be served. The message names the file and the reason."""
