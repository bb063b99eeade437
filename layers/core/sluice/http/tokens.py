"""Request and answer models of `/tokens…`."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StrictStr, WithJsonSchema, field_validator

from sluice.domain import tokens as rules
from sluice.domain.periods import rfc3339
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


class IssueTokenBody(BaseModel):
    name: StrictStr = Field(json_schema_extra={"minLength": 1, "maxLength": 100})
    expires_in: Lifetime = Field(rules.LIFETIMES_S[rules.DEFAULT_EXPIRES_IN], description="a name, or whole seconds")
    scopes: Annotated[list[StrictStr], Field(fail_fast=True)] | None = Field(
        None, json_schema_extra={"items": {"enum": list(rules.SCOPES)}}, description="default: all"
    )
    models: Annotated[list[StrictStr], Field(fail_fast=True)] | None = Field(
        None, description="names of the models it may use; default: all"
    )

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
        return rules.TokenRequest(self.name, self.expires_in, scopes, models)


class TokenFacts(BaseModel):
    """What every answer says of an API token."""

    id: str
    name: str
    hint: str = Field(description="the token's last 6 characters")
    scopes: list[str]
    models: list[str] | None = Field(description="null: all")
    created_at: str
    expires_at: str


class TokenInfo(TokenFacts):
    status: rules.Status
    last_used_at: str | None
    revoked_at: str | None

    @classmethod
    def of(cls, listed: ListedToken) -> "TokenInfo":
        row = listed.row
        return cls.like(
            row,
            **_facts(row),
            status=listed.status,
            last_used_at=_moment(row.last_used_ms),
            revoked_at=_moment(row.revoked_ms),
        )


class IssuedTokenInfo(TokenFacts):
    token: str = Field(description="the API token, a JWT, shown this once")

    @classmethod
    def of(cls, issued: IssuedToken) -> "IssuedTokenInfo":
        return cls.like(issued.row, **_facts(issued.row), token=issued.token)


class TokenList(BaseModel):
    data: list[TokenInfo]


class RevokedAll(BaseModel):
    revoked: int


class KeySet(BaseModel):
    """A JSON Web Key Set (RFC 7517)."""

    keys: list[dict[str, Any]]


def _facts(row: rules.ApiToken) -> dict[str, Any]:
    return {"id": row.token_id, "created_at": rfc3339(row.created_ms), "expires_at": rfc3339(row.expires_ms)}


def _moment(at_ms: int | None) -> str | None:
    return None if at_ms is None else rfc3339(at_ms)
