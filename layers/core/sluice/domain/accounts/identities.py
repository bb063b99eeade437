"""Sign-in by another site (a provider): who it says somebody is, and which account that is (docs/adr/0130).

An identity is an issuer and its name for a person (`subject`), and never an address: addresses change hands.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from sluice.domain.accounts.account import Account, parse_address
from sluice.domain.accounts.factors import Question
from sluice.domain.errors import Conflict, Forbidden, InvalidCredentials, Unavailable
from sluice.domain.phrases import phrase

MOST_IDENTITIES = 10  # an account's
MAX_SUBJECT_CHARACTERS = 255  # OpenID Connect Core, section 2

Aim = Literal["enter", "link", "confirm"]


@dataclass(frozen=True)
class Claimed:
    """What a provider says of a person. `email`: only an address that it has verified, else empty."""

    issuer: str
    subject: str
    email: str
    name: str = ""

    @property
    def identity_id(self) -> str:
        return "idn_" + hashlib.sha256(f"{self.issuer}\0{self.subject}".encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Started:
    """A sign-in that waits for the browser to come back. `state` and `nonce` bind the answer to it, `verifier` the
    answer's code (RFC 7636). `aim`: log in, link the identity to the session's account, or show it again."""

    provider: str
    aim: Aim
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    next: str = ""


class SignInRefused(InvalidCredentials):
    """The answer is not one to a sign-in that this browser began, or the provider refused it. One error for all."""

    default_message = "This sign-in was not accepted: it is too old, was used already, or was cancelled. Begin again."


class AddressNotVerified(Forbidden):
    def __init__(self, provider: str) -> None:
        super().__init__(
            phrase(
                "%(provider)s tells no verified email address of yours, and an account needs one. Verify it there, "
                "and allow this site to see it.",
                provider=provider,
            )
        )


class OtherAddress(Forbidden):
    def __init__(self, provider: str) -> None:
        super().__init__(
            phrase(
                "Your address at %(provider)s is not that of your account here. Only the same one can be linked.",
                provider=provider,
            )
        )


class LinkedAlready(Conflict):
    def __init__(self, provider: str) -> None:
        super().__init__(phrase("This sign-in of %(provider)s is linked to an account already.", provider=provider))


class ProviderUnavailable(Unavailable):
    def __init__(self, provider: str) -> None:
        super().__init__(
            phrase(
                "%(provider)s does not answer as it should at the moment. Try again soon, or use your password.",
                provider=provider,
            )
        )


def started_in(question: Question) -> Started:
    return Started(**json.loads(question.secret))


def claimed_in(question: Question) -> tuple[str, Claimed]:
    """The provider's name and what it said."""
    told: Mapping[str, str] = json.loads(question.secret)
    return told["provider"], Claimed(told["issuer"], told["subject"], told["email"])


def as_secret(what: Started | Claimed, **more: str) -> str:
    return json.dumps({**asdict(what), **more})


def of_other_addresses(account: Account) -> list[str]:
    """The ids of the identities that were linked before the account's address changed."""
    known = account.identities.values()
    return [one.identity_id for one in known if parse_address(one.email).key != account.email_key]


def may_unlink(account: Account) -> bool:
    """The last way in stays."""
    return bool(account.password_hash) or len(account.identities) > 1
