"""One class for each way a request can fail. They carry data, not status codes, which `sluice.http.errors` assigns."""

from collections.abc import Collection
from dataclasses import dataclass


class SluiceError(Exception):
    """The root. `message` is shown to the caller, so it must not hold a secret, a table name or an internal address."""

    default_message = "The request could not be completed."

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.default_message)

    @property
    def message(self) -> str:
        return str(self.args[0])


# --- the request itself


class InvalidJson(SluiceError):
    default_message = "The request body is not valid JSON."


@dataclass(frozen=True)
class FieldProblem:
    field: str
    message: str
    param: str = ""  # the field as OpenAI writes it (`outer[0].inner`), where that differs


class ValidationFailed(SluiceError):
    """The body or query has the wrong shape. Each of `problems` names a field by its path (`outer.inner`)."""

    default_message = "The request is not valid."

    def __init__(self, problems: tuple[FieldProblem, ...] = (), message: str | None = None) -> None:
        super().__init__(message)
        self.problems = problems


class RequestTooLarge(SluiceError):
    default_message = "The request body is too large."


class StorageFull(RequestTooLarge):
    default_message = "This account's storage is full. Delete files first."


class RequestTimeout(SluiceError):
    default_message = "The request body did not arrive in time."


class UnsupportedMediaType(SluiceError):
    default_message = "The request body must be application/json."


class UnsupportedEncoding(UnsupportedMediaType):
    headers = {"Accept-Encoding": "gzip, deflate, zstd"}  # noqa: RUF012 (never changed)


class InvalidEncoding(SluiceError):
    default_message = "The compressed body cannot be decoded."


class NotFound(SluiceError):
    default_message = "There is nothing here by that name."


class MethodNotAllowed(SluiceError):
    default_message = "This address does not answer that method."


class Conflict(SluiceError):
    default_message = "The request conflicts with the current state."


class StillRunning(Conflict):
    """The request that came first with this `Idempotency-Key` has not been answered yet."""

    default_message = "The first request with this Idempotency-Key still runs. Send it again in a moment."
    retry_after_seconds = 1


class AnswerNotKept(Conflict):
    default_message = (
        "The request with this Idempotency-Key was answered and charged, but its answer was not kept: it is too "
        "large, or the store was away. Send it with a new key to have it answered again."
    )
    headers = {"x-should-retry": "false"}  # noqa: RUF012 (never changed)


class IdempotencyKeyReused(SluiceError):
    default_message = "This Idempotency-Key came before with another body. A new request needs a new key."


# --- authentication and authorization


class MailedCodeInvalid(SluiceError):
    """The code is unknown, used, expired or for another purpose. One error for all, so that it gives nothing away."""

    default_message = "This link is not valid: it is unknown, was used already, or has expired."


class MailedCodeUsed(MailedCodeInvalid):
    """The code has verified this address already. A page says so instead of failing, because mail scanners click too;
    the answer of the API does not differ."""


class InvalidCredentials(SluiceError):
    default_message = "The email address or the password is wrong."


class NotAuthenticated(SluiceError):
    default_message = "Log in first: send the session cookie or a session token."


class InvalidApiToken(SluiceError):
    """Missing, malformed, foreign, expired or revoked. The message says which only if the signature is valid."""

    default_message = "The API token is not valid."


class ApiTokenExpired(InvalidApiToken):
    """It names the API token, so that its owner sees that somebody still uses it."""

    def __init__(self, account_id: str, token_id: str) -> None:
        super().__init__("This API token has expired.")
        self.account_id, self.token_id = account_id, token_id


class Forbidden(SluiceError):
    default_message = "You may not do this."


class EmailNotVerified(Forbidden):
    default_message = "Verify your email address first: follow the link in the mail you were sent."


class InsufficientScope(Forbidden):
    default_message = "The API token does not have the scope this call needs."


class AccountSuspended(Forbidden):
    default_message = "This account is suspended."


class ConfirmationRequired(Forbidden):
    """The session must first show the account's second factor, or without one its password or provider, once more."""

    default_message = (
        "Confirm that it is you first: POST /account/factors/confirm with a code or a passkey, or with the password "
        "where the account has no second factor."
    )


class TermsNotAccepted(Forbidden):
    """Of a session. The account has not accepted the terms of use that the owner's settings name."""

    default_message = (
        "Accept the terms of use first: GET /account names them, and PATCH /account with their version accepts them."
    )


class CrossSiteRequest(Forbidden):
    default_message = "A request with the session cookie must come from this site's own pages."


class LimitReached(Conflict):
    default_message = "This account has as many of these as it may have. Delete some first."


class TokenLimitReached(Conflict):
    default_message = "This account has as many live API tokens as it may have. Revoke one first."


# --- throttling


class Throttled(SluiceError):
    """The request succeeds after `retry_after_seconds` (whole, at least 1) if the caller sends no other meanwhile.
    `holding`: the families of the leases that the account had, whose reservations may be given back sooner."""

    default_message = "Too many requests."
    holding: Collection[str] = ()

    def __init__(self, retry_after_seconds: int, message: str | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = max(1, retry_after_seconds)


class TooManyAttempts(Throttled):
    default_message = "Too many attempts. Wait a little and try again."


class RateLimitExceeded(Throttled):
    default_message = "The rate limit of this account is reached."


class NothingAllowed(RateLimitExceeded):
    """The limit is 0, so no wait helps. It has one all the same, because every refusal of status 429 has."""

    headers = {"x-should-retry": "false"}  # noqa: RUF012 (never changed)


class DailyRequestsUsedUp(RateLimitExceeded):
    """All visitors of a publishable API token together have sent what it may have on a UTC day. A client that repeats
    by itself would only wait."""

    headers = {"x-should-retry": "false"}  # noqa: RUF012 (never changed)

    def __init__(self, retry_after_seconds: int, limit: int) -> None:
        text = f"This API token's limit of {limit} requests a day is reached. It starts anew at 00:00 UTC."
        super().__init__(retry_after_seconds, text)


class VisitorLimitReached(RateLimitExceeded):
    """One visitor of a publishable API token."""

    def __init__(self, retry_after_seconds: int, limit: int) -> None:
        super().__init__(retry_after_seconds, f"The limit of {limit} requests a minute for each visitor is reached.")


class QuotaExceeded(Throttled):
    default_message = "The account's token quota of this month is used up."


class TokenQuotaExceeded(QuotaExceeded):
    default_message = "This API token's limit of model tokens a month is used up."


class InsufficientBudget(Throttled):
    """The month's dollars of the account or of the API token do not pay for the request. They are back with the next
    month, so a client that repeats by itself would only wait."""

    default_message = "The account's dollars of this month are used up."
    headers = {"x-should-retry": "false"}  # noqa: RUF012 (never changed)


class TokenBudgetUsedUp(InsufficientBudget):
    default_message = "This API token's dollars of this month are used up."


class TooManyConcurrentRequests(Throttled):
    default_message = "This account has as many requests running as it may have."

    def __init__(self, message: str | None = None) -> None:
        super().__init__(1, message)


# --- the model


class InvalidModelRequest(SluiceError):
    """A `/v1` request of the wrong shape or meaning; `param` names the field, as in OpenAI's error envelope."""

    default_message = "The request is not valid."

    def __init__(self, message: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class ContextLengthExceeded(InvalidModelRequest):
    default_message = "The prompt is longer than the model's context."


class UnsupportedSchema(InvalidModelRequest):
    default_message = "The JSON schema is not supported."


class SchemaNotMet(SluiceError):
    """The model broke the JSON schema of its answer twice, or once in a stream. Both tries are charged."""

    default_message = "The answer breaks its JSON schema."
    headers = {"x-should-retry": "false"}  # noqa: RUF012 (never changed)


class ModelNotFound(NotFound):
    default_message = "There is no such model, or this API token may not use it."


class Interrupted(SluiceError):
    """The process that answered the first request with this `Idempotency-Key` died."""

    default_message = (
        "The first request with this Idempotency-Key was interrupted, and is not executed again. What it had "
        "generated is charged. Send it with a new key."
    )
    headers = {"x-should-retry": "false"}  # noqa: RUF012 (never changed)


class Unavailable(SluiceError):
    """A dependency is down. The caller should try again after `retry_after_seconds`."""

    default_message = "The service is not available at the moment."

    def __init__(self, message: str | None = None, retry_after_seconds: int = 2) -> None:
        super().__init__(message)
        self.retry_after_seconds = max(1, retry_after_seconds)


class StoreUnavailable(Unavailable):
    pass


class SearchUnavailable(Unavailable):
    default_message = "The search of documents is not available at the moment."


class PaymentUnavailable(Unavailable):
    default_message = "Payment is not available at the moment. Nothing was charged. Try again in a moment."


class ModelUnavailable(Unavailable):
    default_message = "The model is not available at the moment."


class AnswerLost(ModelUnavailable):
    """The model server may have worked, and may charge for it, but has sent no whole answer."""


class Overloaded(Unavailable):
    default_message = "The service is overloaded at the moment."


class UpstreamTimeout(SluiceError):
    default_message = "The model did not answer in time."
