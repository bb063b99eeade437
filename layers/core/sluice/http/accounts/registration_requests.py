"""Requests and answers of registration and verification."""

from typing import Literal

from pydantic import Field

from sluice.http.accounts.requests import Email, NewPassword
from sluice.http.lazy_model import BaseModel


class RegisterBody(BaseModel):
    email: Email
    password: NewPassword
    name: str | None = Field(None, max_length=1024)  # the rule is the domain's: this only bounds what it looks at


class ResendBody(BaseModel):
    email: Email


class VerifyBody(BaseModel):
    token: str = Field(description="the mailed code")  # of whatever length: a wrong one is 400, never 422


class VerificationSent(BaseModel):
    status: Literal["verification_sent"] = "verification_sent"


class Verified(BaseModel):
    status: Literal["verified"] = "verified"
