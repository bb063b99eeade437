"""The system's state, for an admin: the model and its queue, running requests, stuck mails, failed events."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from sluice.domain.errors import SluiceError
from sluice.domain.gateway.leases import LEASE_SHARDS
from sluice.domain.settings.versions import InForce
from sluice.ports.accounts import AccountStore
from sluice.ports.gateway import HotStore, LeaseIndex, ModelServer, Spend
from sluice.ports.mails import MailStore
from sluice.ports.usage import DeadLetters

LOOKED_AT = 200  # accounts with leases, at most, so that the page loads quickly
LATE_MAIL_MS = 120_000  # the sweeper, which runs each minute, should have requeued it
MAILS_NAMED = 100  # for each shard


@dataclass(frozen=True)
class ModelState:
    """`said`: the model's status, "unreachable" if it does not answer. Queue numbers: None if it reports none."""

    name: str
    said: str
    running: int | None = None
    waiting: int | None = None
    decoded_tokens: int | None = None

    @property
    def is_well(self) -> bool:
        return self.said == "ready"


@dataclass(frozen=True)
class DayOfUpstream:
    """What a paid upstream has cost today, running requests included, and the most that it may."""

    name: str
    spent_micro_usd: int
    most_micro_usd: int


@dataclass(frozen=True)
class SystemHealth:
    """`leases`: requests that run now, of so many `accounts`. `abandoned`: expired leases, which the sweeper will
    settle. `is_bounded`: not all accounts were counted. `dead_letters`: the number of failed events in each place."""

    model: ModelState
    leases: int
    abandoned: int
    accounts: int
    is_bounded: bool
    late_mails: int
    deletions: int
    dead_letters: Mapping[str, int] = field(default_factory=dict)
    settings: InForce = field(default_factory=InForce)
    days: Sequence[DayOfUpstream] = ()

    @property
    def is_well(self) -> bool:
        waiting = self.late_mails or sum(self.dead_letters.values()) or self.settings.problem
        return self.model.is_well and not waiting


@dataclass(frozen=True)
class HealthCheck:
    model: ModelServer
    grants: HotStore
    leases: LeaseIndex
    mails: MailStore
    accounts: AccountStore
    dead_letters: DeadLetters
    settings: Callable[[], InForce]
    spend: Spend

    def look(self, now_ms: int) -> SystemHealth:
        """Errors: StoreUnavailable. A model that does not answer is part of the result, not an error."""
        named = list(islice((name for shard in LEASE_SHARDS for name in self.leases.accounts(shard)), LOOKED_AT + 1))
        leases = {name: _leases(self.grants, name) for name in named[:LOOKED_AT]}
        held = [expires_ms for each in leases.values() for expires_ms in each]
        running = sum(expires_ms > now_ms for expires_ms in held)
        in_force = self.settings()
        return SystemHealth(
            _model(self.model),
            running,
            len(held) - running,
            sum(bool(each) for each in leases.values()),
            len(named) > LOOKED_AT,
            len(self.mails.overdue(now_ms - LATE_MAIL_MS, MAILS_NAMED)),
            len(self.accounts.deletions()),
            self.dead_letters.waiting(),
            in_force,
            [
                DayOfUpstream(one.name, self.spend.spent(one.name, now_ms), one.daily_micro_usd)
                for one in in_force.terms.upstreams
                if one.daily_micro_usd is not None
            ],
        )


def _leases(grants: HotStore, account_id: str) -> list[int]:
    grant = grants.grant(account_id)
    return [lease.expires_ms for lease in grant.leases.values()] if grant else []


def _model(server: ModelServer) -> ModelState:
    try:
        report = server.health()
        if report["http_status"] == 404:  # not our engine, but another OpenAI-compatible server
            return ModelState(str(next(iter(server.models()), {}).get("id", "none")), "ready")
    except SluiceError:
        return ModelState("", "unreachable")
    numbers = {name: report.get(name) for name in ("running", "waiting", "decoded_tokens")}
    return ModelState(str(report.get("model") or ""), str(report.get("status") or "unknown"), **numbers)
