"""Requests and answers of registration, `/auth/…` and `/account…`."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, StrictBool

from sluice.domain.accounts.account import Account, Identity
from sluice.domain.accounts.sessions import NewSession, Session
from sluice.domain.languages import Language
from sluice.domain.periods import rfc3339
from sluice.domain.usage.pricing import usd
from sluice.domain.webhooks import EVENTS
from sluice.http.lazy_model import BaseModel

if TYPE_CHECKING:  # an import only for a type would load the use case in every function
    from sluice.services.accounts.profile import Overview
    from sluice.services.accounts.sign_in import FactorRequired

# The domain checks addresses and new passwords; these bounds only reject what no rule would accept. A login has no
# minimum length, because it only compares the password.
Email = Annotated[str, Field(max_length=320, json_schema_extra={"format": "email"})]
Password = Annotated[str, Field(max_length=1024, json_schema_extra={"format": "password"})]
NewPassword = Annotated[
    str, Field(json_schema_extra={"format": "password", "minLength": 12, "maxLength": 256}, max_length=1024)
]


class RegisterBody(BaseModel):
    email: Email
    password: NewPassword
    name: str | None = Field(None, max_length=1024)  # only bounds the input; the domain has the rule
    # Without bounds, as every mailed code, so that a wrong one is 400 and never 422.
    invitation: str | None = Field(None, description="the code of an invitation, whose address `email` must be")


class ResendBody(BaseModel):
    email: Email


class VerifyBody(BaseModel):
    token: str = Field(description="the mailed code")  # without bounds, so that a wrong code is 400 and never 422


class VerificationSent(BaseModel):
    status: Literal["verification_sent"] = "verification_sent"


class Verified(BaseModel):
    status: Literal["verified"] = "verified"


class LoginBody(BaseModel):
    email: Email
    password: Password


class ForgotPasswordBody(BaseModel):
    email: Email


class ResetPasswordBody(BaseModel):
    token: str = Field(description="the mailed code")  # without bounds, so that a wrong code is 400 and never 422
    password: NewPassword
    keep_tokens: StrictBool = Field(False, description="`true` leaves the API tokens valid; otherwise all are revoked")


class ChangePasswordBody(BaseModel):
    current_password: Password
    new_password: NewPassword


class ChangeEmailBody(BaseModel):
    new_email: Email
    password: Password


class UpdateAccountBody(BaseModel):
    """Omitted fields stay unchanged."""

    name: Annotated[str, Field(strict=True, max_length=1024)] | None = None  # the domain has the rule
    store_content: StrictBool | None = Field(None, description="`false` keeps prompts and responses out of the logs")
    language: Language | Literal[""] | None = Field(
        None, description="of pages and mails; empty: what the browser prefers"
    )
    mails: Annotated[list[Literal[EVENTS]], Field(max_length=len(EVENTS))] | None = Field(  # type: ignore[valid-type]
        None, description="the events, of those that webhooks have, that are told by mail"
    )
    terms: Annotated[str, Field(max_length=40)] | None = Field(
        None, description="accepts the terms of use of this version, which `GET /account` names"
    )


class DeleteAccountBody(BaseModel):
    password: Password


class EmailChangeRequested(BaseModel):
    status: Literal["verification_sent"] = "verification_sent"


class PasswordChanged(BaseModel):
    status: Literal["password_changed"] = "password_changed"


class ResetRequested(BaseModel):
    status: Literal["reset_sent"] = "reset_sent"


class User(BaseModel):
    id: str
    email: str
    name: str
    role: str
    created_at: str

    @classmethod
    def of(cls, account: Account) -> Self:
        return cls.like(account, id=account.account_id, created_at=rfc3339(account.created_ms))


class IssuedSession(BaseModel):
    id: str
    token: str = Field(description="the session token, shown this once")
    expires_at: str


class LoginAnswer(BaseModel):
    user: User
    session: IssuedSession

    @classmethod
    def of(cls, account: Account, new: NewSession) -> "LoginAnswer":
        session = IssuedSession(
            id=new.session.session_id, token=new.session_token, expires_at=rfc3339(new.session.expires_ms)
        )
        return cls(user=User.of(account), session=session)


class LoginResult(BaseModel):
    """`user` and `session`; or for an account with a second factor the other fields, and no session yet."""

    user: User | None = None
    session: IssuedSession | None = None
    status: Literal["factor_required"] | None = None
    challenge: str | None = Field(None, description="for `POST /auth/login/factor`, within 5 minutes; it is no session")
    factors: list[str] | None = Field(None, description="the ways to go on: `totp`, `passkey`, `recovery_code`")
    passkey: dict[str, Any] | None = Field(
        None, description="`PublicKeyCredentialRequestOptionsJSON` of WebAuthn, where `factors` has `passkey`"
    )

    @classmethod
    def required(cls, asked: "FactorRequired") -> "LoginResult":
        ways = list(asked.ways)
        return cls(status="factor_required", challenge=asked.challenge, factors=ways, passkey=asked.passkey)


class SessionInfo(BaseModel):
    id: str
    created_at: str
    expires_at: str
    user_agent: str
    current: bool = Field(description="whether it is the session of this very request")

    @classmethod
    def of(cls, session: Session, current_id: str) -> "SessionInfo":
        created, expires = rfc3339(session.created_ms), rfc3339(session.expires_ms)
        current = session.session_id == current_id
        return cls.like(session, id=session.session_id, created_at=created, expires_at=expires, current=current)


class SessionList(BaseModel):
    data: list[SessionInfo]


class LimitsInfo(BaseModel):
    rpm: int = Field(description="requests a minute")
    tpm: int = Field(description="tokens a minute")
    concurrency: int = Field(description="requests at once")
    monthly_tokens: int
    monthly_usd: float | None = Field(description="dollars a month; null: no bound")


class UsageInfo(BaseModel):
    period: str = Field(description="the calendar month, UTC: `2026-11`")
    tokens: int
    requests: int
    cost_usd: float | None = Field(description="null: no request had a price")


class TermsInfo(BaseModel):
    url: str
    version: str
    accepted: str | None = Field(description="the version that was accepted last")
    accepted_at: str | None


class ProviderInfo(BaseModel):
    id: str
    name: str = Field(description="as people call it")
    start_url: str = Field(description="open it in a browser: it leads to the provider, and back with a session")


class ProviderList(BaseModel):
    data: list[ProviderInfo]


class IdentityInfo(BaseModel):
    id: str
    provider: str
    issuer: str
    email: str = Field(description="the address that the provider had verified")
    linked_at: str

    @classmethod
    def of(cls, one: Identity) -> "IdentityInfo":
        return cls.like(one, id=one.identity_id, linked_at=rfc3339(one.created_ms))


class AccountInfo(User):
    identities: list[IdentityInfo] = Field(description="sign-ins by other sites that are linked to the account")
    language: Language | None = Field(description="of pages and mails; null: what the browser prefers")
    mails: list[str] = Field(description="the events that are told by mail")
    terms: TermsInfo | None = Field(description="the terms of use; null: there are none")
    plan: str | None = Field(description="the name of the plan; null: there are no plans")
    limits: LimitsInfo
    usage: UsageInfo

    @classmethod
    def of_overview(cls, found: "Overview") -> "AccountInfo":
        period = f"{found.period // 100:04d}-{found.period % 100:02d}"
        usage = UsageInfo.like(found, period=period, cost_usd=usd(found.cost_micro_usd))
        limits = LimitsInfo.like(found.limits, monthly_usd=usd(found.grant.monthly_micro_usd))
        return cls.like(
            User.of(found.account),
            identities=[IdentityInfo.of(one) for one in found.account.identities.values()],
            language=found.account.language or None,
            mails=found.account.mails.split(),
            terms=_terms(found) if found.terms_url else None,
            plan=found.plan or None,
            limits=limits,
            usage=usage,
        )


def _terms(found: "Overview") -> TermsInfo:
    at = found.account.terms_ms and rfc3339(found.account.terms_ms)
    accepted = found.account.terms or None
    return TermsInfo(url=found.terms_url, version=found.terms_version, accepted=accepted, accepted_at=at)


class UpdatedAccount(AccountInfo):
    store_content: bool = Field(description="whether prompts and responses are kept in the log")

    @classmethod
    def after(cls, found: "Overview") -> "UpdatedAccount":
        return cls.like(AccountInfo.of_overview(found), store_content=found.account.store_content)
