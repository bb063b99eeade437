"""Requests and answers of `/account/factors…` and `/auth/login/factor`."""

from typing import Annotated, Any, Literal

from pydantic import Field

from sluice.domain.accounts.account import Account
from sluice.domain.accounts.factors import Factor, Proof
from sluice.domain.periods import rfc3339
from sluice.http.accounts.requests import Password
from sluice.http.lazy_model import BaseModel

Code = Annotated[str, Field(max_length=64, description="of the authenticator app, or a recovery code")]
Credential = Annotated[
    dict[str, Any], Field(max_length=32, description="what the browser made, as `PublicKeyCredential.toJSON()`")
]
Name = Annotated[str, Field(max_length=1024, description="to know it by; at most 60 characters are kept")]


class ProofBody(BaseModel):
    """One of these."""

    password: Password = ""
    code: Code = ""
    credential: Credential | None = None

    def proof(self) -> Proof:
        return Proof(self.password, self.code.strip(), self.credential)


class LoginFactorBody(BaseModel):
    """The challenge, and a code or what a passkey signed."""

    challenge: str = Field(max_length=256)
    code: Code = ""
    credential: Credential | None = None

    def proof(self) -> Proof:
        return Proof("", self.code.strip(), self.credential)


class ConfirmAppBody(BaseModel):
    code: Code
    name: Name = ""


class AddPasskeyBody(BaseModel):
    credential: Credential
    name: Name = ""


class AppSetupInfo(BaseModel):
    secret: str = Field(description="base32, to be typed into the app; shown while it is set up only")
    otpauth_url: str = Field(description="the same for a QR code")


class FactorInfo(BaseModel):
    id: str
    type: Literal["totp", "passkey"]
    name: str
    created_at: str
    last_used_at: str | None

    @classmethod
    def of(cls, factor: Factor) -> "FactorInfo":
        used = None if factor.last_used_ms is None else rfc3339(factor.last_used_ms)
        created = rfc3339(factor.created_ms)
        return cls.like(factor, id=factor.factor_id, type=factor.kind, created_at=created, last_used_at=used)


class FactorList(BaseModel):
    data: list[FactorInfo]
    recovery_codes_left: int

    @classmethod
    def of(cls, account: Account) -> "FactorList":
        held = sorted(account.factors.values(), key=lambda one: (one.created_ms, one.factor_id))
        return cls(data=[FactorInfo.of(one) for one in held], recovery_codes_left=len(account.recovery))


class RecoveryCodes(BaseModel):
    recovery_codes: list[str] = Field(description="shown this once; empty if there are some already")


class PasskeyOptions(BaseModel):
    options: dict[str, Any] = Field(description="for `navigator.credentials`, in WebAuthn's JSON form")


class Confirmed(BaseModel):
    status: Literal["confirmed"] = "confirmed"
