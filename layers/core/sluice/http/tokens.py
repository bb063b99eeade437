"""Request and answer models of `/tokens…`."""

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, StrictBool, StrictStr, WithJsonSchema, field_validator

from sluice.domain import tokens as rules
from sluice.domain.gateway.admission import TokenLimits
from sluice.domain.periods import rfc3339
from sluice.domain.usage.pricing import parse_usd, usd
from sluice.http.lazy_model import BaseModel
from sluice.services.tokens import IssuedToken, ListedToken

# A name ("30d") or whole seconds. Floats, `true` and numbers in strings are refused.
Lifetime = Annotated[
    int,
    BeforeValidator(rules.parse_expires_in),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "enum": list(rules.LIFETIMES_S)},
                {"type": "integer", "minimum": rules.MIN_LIFETIME_S, "maximum": rules.MAX_LIFETIME_S},
            ],
            "default": rules.DEFAULT_EXPIRES_IN,
        }
    ),
]


Name = Annotated[StrictStr, Field(json_schema_extra={"minLength": 1, "maxLength": 100})]
Limit = Annotated[int, Field(strict=True, ge=0, le=rules.MAX_LIMIT)]


def _micro_usd(given: object) -> int:
    try:
        return parse_usd(given)
    except ValueError as exc:
        raise ValueError(f"This {exc}.") from exc


MicroUsd = Annotated[
    int,
    BeforeValidator(_micro_usd),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}], "examples": ["5.00"]}),
]


class TokenLimitsBody(BaseModel):
    """Limits of one API token, below those of its account, which hold as well. 0 allows none."""

    model_config = ConfigDict(extra="forbid")  # a misspelt limit would be none
    rpm: Limit | None = Field(None, description="requests a minute")
    tpm: Limit | None = Field(None, description="model tokens a minute")
    monthly_tokens: Limit | None = None
    monthly_usd: MicroUsd | None = Field(None, description="dollars: a text or number with at most 6 decimals")

    def given(self) -> dict[str, int | None]:
        """As `TokenLimits` names them, those that the caller gave."""
        names = {name: name.replace("usd", "micro_usd") for name in self.model_fields_set}
        return {own: getattr(self, name) for name, own in names.items()}


class TokenLimitsInfo(BaseModel):
    """The API token's own limits; null: only that of its account applies."""

    rpm: int | None = Field(None, description="requests a minute")
    tpm: int | None = Field(None, description="model tokens a minute")
    monthly_tokens: int | None = None
    monthly_usd: float | None = None

    @classmethod
    def of(cls, limits: TokenLimits) -> "TokenLimitsInfo":
        return cls.like(limits, monthly_usd=usd(limits.monthly_micro_usd))


class IssueTokenBody(BaseModel):
    name: Name
    expires_in: Lifetime = Field(rules.LIFETIMES_S[rules.DEFAULT_EXPIRES_IN], description="a name, or whole seconds")
    scopes: Annotated[list[StrictStr], Field(fail_fast=True)] | None = Field(
        None, json_schema_extra={"items": {"enum": list(rules.SCOPES)}}, description="default: all"
    )
    models: Annotated[list[StrictStr], Field(fail_fast=True)] | None = Field(
        None, description="names of the models it may use; default: all"
    )
    limits: TokenLimitsBody | None = Field(None, description="default: only those of the account")
    local_only: StrictBool = Field(False, description="its requests reach no model server that leaves home")

    @field_validator("name")
    @classmethod
    def _name(cls, text: str) -> str:
        return rules.parse_token_name(text)

    @field_validator("scopes")
    @classmethod
    def _scopes(cls, wanted: list[str] | None) -> list[str]:
        return list(rules.SCOPES if wanted is None else rules.parse_scopes(wanted))

    @field_validator("models")
    @classmethod
    def _models(cls, wanted: list[str] | None) -> list[str] | None:
        return None if wanted is None else list(rules.parse_models(wanted))

    @property
    def wanted(self) -> rules.TokenRequest:
        scopes = rules.SCOPES if self.scopes is None else tuple(self.scopes)
        models = None if self.models is None else tuple(self.models)
        given = TokenLimits(**(self.limits.given() if self.limits else {}))
        limits = None if given == TokenLimits() else given
        return rules.TokenRequest(self.name, self.expires_in, scopes, models, limits, self.local_only)


class ChangeTokenBody(BaseModel):
    """What is left out stays as it is."""

    name: Name | None = None
    limits: TokenLimitsBody | None = Field(None, description="null removes a limit, or all of them")

    @field_validator("name")
    @classmethod
    def _name(cls, text: str | None) -> str:
        return rules.parse_token_name(text or "")

    def changed_limits(self) -> dict[str, int | None] | None:
        if "limits" not in self.model_fields_set:
            return None
        return dict.fromkeys(vars(TokenLimits())) if self.limits is None else self.limits.given()


class RotateTokenBody(BaseModel):
    grace_seconds: Annotated[int, Field(strict=True, ge=0, le=rules.MAX_GRACE_S)] = Field(
        0, description="how long the old API token stays live; 0: it is revoked at once"
    )


class TokenFacts(BaseModel):
    """What every answer says of an API token."""

    id: str
    name: str
    hint: str = Field(description="the token's last 6 characters")
    scopes: list[str]
    models: list[str] | None = Field(description="null: all")
    created_at: str
    expires_at: str
    limits: TokenLimitsInfo
    local_only: bool
    rotated_from: str | None = Field(description="the id of the API token that it replaced")


class TokenInfo(TokenFacts):
    status: rules.Status
    last_used_at: str | None
    revoked_at: str | None

    @classmethod
    def of(cls, listed: ListedToken) -> "TokenInfo":
        row = listed.row
        return cls.like(
            row,
            **_facts(row, listed.limits),
            status=listed.status,
            last_used_at=_moment(row.last_used_ms),
            revoked_at=_moment(row.revoked_ms),
        )


class IssuedTokenInfo(TokenFacts):
    token: str = Field(description="the API token, a JWT, shown this once")

    @classmethod
    def of(cls, issued: IssuedToken) -> "IssuedTokenInfo":
        return cls.like(issued.row, **_facts(issued.row, issued.limits), token=issued.token)


class TokenList(BaseModel):
    data: list[TokenInfo]


class RevokedAll(BaseModel):
    revoked: int


class KeySet(BaseModel):
    """A JSON Web Key Set (RFC 7517)."""

    keys: list[dict[str, Any]]


def _facts(row: rules.ApiToken, limits: TokenLimits) -> dict[str, Any]:
    times = {"created_at": rfc3339(row.created_ms), "expires_at": rfc3339(row.last_ms)}
    return {"id": row.token_id, **times, "limits": TokenLimitsInfo.of(limits)}


def _moment(at_ms: int | None) -> str | None:
    return None if at_ms is None else rfc3339(at_ms)
