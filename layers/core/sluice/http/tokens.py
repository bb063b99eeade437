"""Request and answer models of `/tokens…`."""

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    WithJsonSchema,
    field_validator,
)

from sluice.domain import tokens as rules
from sluice.domain.errors import FieldProblem, ValidationFailed
from sluice.domain.gateway import publishable
from sluice.domain.gateway.admission import TokenLimits
from sluice.domain.gateway.publishable import PublicTerms
from sluice.domain.periods import rfc3339
from sluice.domain.phrases import phrase
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


NO_ORIGINS = "Name one at least: the origins whose pages may use it, such as https://ada.example."
Name = Annotated[StrictStr, Field(json_schema_extra={"minLength": 1, "maxLength": 100})]
Limit = Annotated[int, Field(strict=True, ge=0, le=rules.MAX_LIMIT)]
Least1 = Annotated[int, Field(strict=True, ge=1, le=10**6)]


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


class PerVisitor(BaseModel):
    """Of a publishable API token: for each of its visitors, who are told apart by their network address."""

    model_config = ConfigDict(extra="forbid")
    rpm: Least1 = Field(publishable.DEFAULT_VISITOR_RPM, description="requests a minute of one visitor")


Origins = Annotated[
    list[StrictStr],
    Field(fail_fast=True),
    AfterValidator(lambda given: list(publishable.parse_origins(given))),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "maxItems": publishable.MAX_ORIGINS,
            "examples": [["https://ada.example", "http://localhost:8000"]],
        }
    ),
]


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
    kind: rules.Kind = Field("secret", description="`publishable`: for a public page, whose source shows it")
    origins: Origins | None = Field(None, description="publishable: whose pages may use it, one at least")
    per_visitor: PerVisitor | None = Field(None, description="publishable; default: 10 requests a minute")
    daily_requests: Least1 | None = Field(None, description="publishable: of all visitors a UTC day; default: 1000")

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
        """Errors: ValidationFailed."""
        public = self._public()
        scopes = rules.SCOPES if self.scopes is None else tuple(self.scopes)
        scopes = tuple(scope for scope in scopes if public is None or scope in publishable.SCOPES)
        models = None if self.models is None else tuple(self.models)
        given = TokenLimits(**(self.limits.given() if self.limits else {}))
        limits = None if given == TokenLimits() else given
        return rules.TokenRequest(self.name, self.expires_in, scopes, models, limits, self.local_only, public)

    def _public(self) -> PublicTerms | None:
        """Errors: ValidationFailed."""
        given = {name: getattr(self, name) for name in ("origins", "per_visitor", "daily_requests")}
        if self.kind == "secret":
            extra = [name for name, value in given.items() if value is not None]
            problems = [FieldProblem(name, 'Only for API tokens of kind "publishable".') for name in extra]
        else:
            problems = [] if self.origins else [FieldProblem("origins", NO_ORIGINS)]
            if not set(self.scopes or publishable.SCOPES) & set(publishable.SCOPES):
                known = ", ".join(publishable.SCOPES)
                problem = phrase("A publishable token may have these scopes: %(scopes)s.", scopes=known)
                problems.append(FieldProblem("scopes", problem))
        if problems:
            raise ValidationFailed(tuple(problems))
        if self.kind == "secret":
            return None
        visitor_rpm = (self.per_visitor or PerVisitor()).rpm
        return PublicTerms(
            tuple(self.origins or ()), self.daily_requests or publishable.DEFAULT_DAILY_REQUESTS, visitor_rpm
        )


class ChangeTokenBody(BaseModel):
    """What is left out stays as it is."""

    name: Name | None = None
    limits: TokenLimitsBody | None = Field(None, description="null removes a limit, or all of them")
    origins: Origins | None = Field(None, description="of a publishable one; so are the two below")
    per_visitor: PerVisitor | None = None
    daily_requests: Least1 | None = None

    @field_validator("name")
    @classmethod
    def _name(cls, text: str | None) -> str:
        return rules.parse_token_name(text or "")

    def changed_limits(self) -> dict[str, int | None] | None:
        if "limits" not in self.model_fields_set:
            return None
        return dict.fromkeys(vars(TokenLimits())) if self.limits is None else self.limits.given()

    def changed_terms(self) -> dict[str, Any]:
        """As `PublicTerms` names them."""
        given: dict[str, Any] = {"daily_requests": self.daily_requests}
        given["origins"] = None if self.origins is None else tuple(self.origins)
        given["visitor_rpm"] = None if self.per_visitor is None else self.per_visitor.rpm
        return {name: value for name, value in given.items() if value is not None}


class RotateTokenBody(BaseModel):
    grace_seconds: Annotated[int, Field(strict=True, ge=0, le=rules.MAX_GRACE_S)] = Field(
        0, description="how long the old API token stays live; 0: it is revoked at once"
    )


class TokenFacts(BaseModel):
    """What every answer says of an API token. The last three are null for a secret one, and for one that has ended."""

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
    kind: rules.Kind
    origins: list[str] | None = Field(None, description="whose pages may use it")
    per_visitor: PerVisitor | None = None
    daily_requests: int | None = None


class TokenInfo(TokenFacts):
    status: rules.Status
    last_used_at: str | None
    revoked_at: str | None

    @classmethod
    def of(cls, listed: ListedToken) -> "TokenInfo":
        row = listed.row
        return cls.like(
            row,
            **_facts(row, listed.limits, listed.public),
            status=listed.status,
            last_used_at=_moment(row.last_used_ms),
            revoked_at=_moment(row.revoked_ms),
        )


class IssuedTokenInfo(TokenFacts):
    token: str = Field(description="the API token, a JWT, shown this once")

    @classmethod
    def of(cls, issued: IssuedToken) -> "IssuedTokenInfo":
        return cls.like(issued.row, **_facts(issued.row, issued.limits, issued.public), token=issued.token)


class TokenList(BaseModel):
    data: list[TokenInfo]


class RevokedAll(BaseModel):
    revoked: int


class KeySet(BaseModel):
    """A JSON Web Key Set (RFC 7517)."""

    keys: list[dict[str, Any]]


def _facts(row: rules.ApiToken, limits: TokenLimits, public: PublicTerms | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"created_at": rfc3339(row.created_ms), "expires_at": rfc3339(row.last_ms)}
    if public is not None:
        facts |= {"origins": list(public.origins), "daily_requests": public.daily_requests}
        facts["per_visitor"] = PerVisitor(rpm=public.visitor_rpm)
    return {"id": row.token_id, **facts, "limits": TokenLimitsInfo.of(limits)}


def _moment(at_ms: int | None) -> str | None:
    return None if at_ms is None else rfc3339(at_ms)
