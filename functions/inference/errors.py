"""Everything that can go wrong here, as data. The HTTP face of each is in `http_errors.py`, once."""


class InferenceError(Exception):
    """Base of all: `str()` of it is a sentence that may be shown to a caller."""

    retry_after_s: int | None = None
    param: str | None = None


class InvalidRequest(InferenceError):
    """The request can never succeed as it is; `param` names the field to blame."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class InvalidJson(InvalidRequest):
    """The body is not JSON, or not a JSON object."""


class ContextTooLong(InvalidRequest):
    """The prompt leaves no room for a single token of the answer."""

    def __init__(self, prompt_tokens: int, context_tokens: int, param: str = "messages") -> None:
        super().__init__(
            f"This model's maximum context length is {context_tokens} tokens, and the input has {prompt_tokens}.", param
        )


class UnknownModel(InferenceError):
    """No model of this name is served here."""

    param = "model"

    def __init__(self, name: str) -> None:
        super().__init__(f"The model `{name}` does not exist here; GET /v1/models lists those that do.")


class Overloaded(InferenceError):
    """The queue is full, or the request waited in it too long."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ModelUnavailable(InferenceError):
    """The model is not loaded (yet, or any more)."""

    retry_after_s = 2


class Draining(ModelUnavailable):
    """The process was told to stop and takes nothing new."""


class DeadlineExceeded(InferenceError):
    """The caller's deadline passed before the answer was complete."""


class GenerationFailed(InferenceError):
    """llama.cpp could not go on with this request; others were not harmed."""

    retry_after_s = 2


class ModelFileError(Exception):
    """A model file that must not be served; the message names the file and what is wrong with it."""
