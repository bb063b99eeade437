"""How the system is at this moment, for an admin: the model and its queue, running requests, and what got stuck."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

from sluice.domain.errors import SluiceError
from sluice.domain.gateway.leases import LEASE_SHARDS
from sluice.ports.accounts import AccountStore
from sluice.ports.gateway import HotStore, LeaseIndex, ModelServer
from sluice.ports.mails import MailStore
from sluice.ports.usage import DeadLetters

LOOKED_AT = 200  # accounts with leases, at most: it is a page, not a report
LATE_MAIL_MS = 120_000  # the sweeper, each minute, has had its chance
MAILS_NAMED = 100  # a shard


@dataclass(frozen=True)
class ModelState:
    """`name` is empty and `said` tells why where it does not answer; the queue's numbers only where it says them."""

    name: str
    said: str
    running: int | None = None
    waiting: int | None = None
    decoded_tokens: int | None = None

    @property
    def is_well(self) -> bool:
        return self.said == "ready"


@dataclass(frozen=True)
class SystemHealth:
    """`leases`: requests that run now, of so many `accounts`; `abandoned`: those whose holder let them expire, which
    the sweeper settles. `is_bounded`: there are more than were looked at. `dead_letters`: by where they lie."""

    model: ModelState
    leases: int
    abandoned: int
    accounts: int
    is_bounded: bool
    late_mails: int
    deletions: int
    dead_letters: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_well(self) -> bool:
        return self.model.is_well and not self.late_mails and not sum(self.dead_letters.values())


@dataclass(frozen=True)
class HealthCheck:
    model: ModelServer
    grants: HotStore
    leases: LeaseIndex
    mails: MailStore
    accounts: AccountStore
    dead_letters: DeadLetters

    def look(self, now_ms: int) -> SystemHealth:
        """Errors: StoreUnavailable. A model that does not answer is none: that is what is asked."""
        named = list(islice((name for shard in LEASE_SHARDS for name in self.leases.accounts(shard)), LOOKED_AT + 1))
        leases = {name: _leases(self.grants, name) for name in named[:LOOKED_AT]}
        held = [expires_ms for each in leases.values() for expires_ms in each]
        running = sum(expires_ms > now_ms for expires_ms in held)
        return SystemHealth(
            _model(self.model),
            running,
            len(held) - running,
            sum(bool(each) for each in leases.values()),
            len(named) > LOOKED_AT,
            len(self.mails.overdue(now_ms - LATE_MAIL_MS, MAILS_NAMED)),
            len(self.accounts.deletions()),
            self.dead_letters.waiting(),
        )


def _leases(grants: HotStore, account_id: str) -> list[int]:
    grant = grants.grant(account_id)
    return [lease.expires_ms for lease in grant.leases.values()] if grant else []


def _model(server: ModelServer) -> ModelState:
    try:
        told = server.health()
        if told["http_status"] == 404:  # not ours: any OpenAI-compatible server may stand there
            return ModelState(str(next(iter(server.models()), {}).get("id", "none")), "ready")
    except SluiceError:
        return ModelState("", "unreachable")
    numbers = {name: told.get(name) for name in ("running", "waiting", "decoded_tokens")}
    return ModelState(str(told.get("model") or ""), str(told.get("status") or "unknown"), **numbers)
