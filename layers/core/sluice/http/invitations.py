"""Requests and answers of `/admin/invitations…`."""

from typing import Annotated

from pydantic import Field

from sluice.domain.accounts.account import Account
from sluice.domain.errors import NotFound
from sluice.domain.periods import rfc3339
from sluice.http.accounts.requests import Email
from sluice.http.lazy_model import BaseModel
from sluice.http.operations import Cursor


class InviteBody(BaseModel):
    email: Email
    plan: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="the name of one of the owner's plans; null: the default one"
    )


class InvitationsQuery(BaseModel):
    cursor: Cursor | None = None
    limit: int = Field(50, ge=1, le=100)


class InvitationInfo(BaseModel):
    id: str = Field(description="the account's id, once the person has registered")
    email: str
    plan: str | None
    created_at: str
    expires_at: str
    sent: int = Field(description="how many mails")
    invited_by: str = Field(description="the admin's account; `operator`: the `sluice` command")

    @classmethod
    def of(cls, account: Account) -> "InvitationInfo":
        invitation = account.invitation
        if invitation is None:
            raise NotFound()
        return cls.like(
            invitation,
            id=account.account_id,
            plan=invitation.plan or None,
            created_at=rfc3339(invitation.created_ms),
            expires_at=rfc3339(invitation.expires_ms),
            invited_by=invitation.by,
        )


class InvitationPage(BaseModel):
    data: list[InvitationInfo]
    next_cursor: str | None
