"""The grant outside the hot path: live API tokens, standing, limits. See also `sluice.adapters.gateway.hot_store`.

Each change is one update, because a transaction would make concurrent admissions of the account fail on AWS. The
exceptions are the two transactions of `sluice.adapters.accounts.accounts` that verify an account or reset its password.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from sluice.adapters.aws import dynamo
from sluice.adapters.gateway.grant_item import (
    LIMIT_LETTERS,
    PUBLIC_LETTERS,
    ROWS,
    family_key,
    token_id_of,
    token_use_attribute,
)
from sluice.domain.errors import Conflict, NotAuthenticated, NotFound, TokenLimitReached, Unavailable
from sluice.domain.gateway.admission import Limits, TokenLimits, TokenUse
from sluice.domain.gateway.grants import (
    MAX_LIVE_TOKENS,
    NO_TOKENS,
    PLAYGROUND,
    Replaced,
    expired_tokens,
    has_room,
    live_tokens,
)
from sluice.domain.gateway.publishable import PublicTerms

# After pruning there is room for one more entry; the playground's entry counts, too.
HAS_ROOM = "size(live) < :room"
# No reset of the password has ended the session that asks.
SESSION_IS_CURRENT = "(attribute_not_exists(token_epoch) OR token_epoch <= :epoch)"
EXISTS = "attribute_exists(account_id)"
LIVE_IS_AS_READ = "live = :live AND attribute_exists(tl) AND attribute_exists(tf)"
# Limits by family of API tokens, and the families of those that were rotated: maps that most grants do not have.
MAPS_EXIST = "SET tl = if_not_exists(tl, :none), tf = if_not_exists(tf, :none)"
LIMITS_ARE_AS_READ = "limits = :before"
OWN_IS_NONE, OWN_IS_AS_READ = "attribute_not_exists(own)", "own = :own_before"
USE_IS_AS_READ = "period = :before AND period_tokens = :counted AND leases = :leases"
ROWS_ARE_AS_READ, NO_ROWS = f"{ROWS} = :rows", f"attribute_not_exists({ROWS})"
ATTEMPTS = 5  # the second prunes the expired entries that the first refusal returned; others may prune at the same time


@dataclass(frozen=True)
class _Terms:
    """Of a new live API token."""

    expires_s: int
    epoch: int
    limits: TokenLimits | None
    family: str | None
    replaced: Replaced | None = None
    public: PublicTerms | None = None

    @property
    def use(self) -> dict[str, Any] | None:
        """What a family begins with; None for a plain API token."""
        if self.limits is None and self.public is None:
            return None
        return _new_use(self.limits or TokenLimits(), self.public)

    @property
    def need_room(self) -> bool:
        return self.replaced is None or self.replaced.until_s is not None

    @property
    def need_maps(self) -> bool:
        return self.use is not None or self.family is not None


def _without(live: Mapping[str, int], *tokens: str) -> dict[str, int]:
    return {token: expires_s for token, expires_s in live.items() if token not in tokens}


def _families(live: Iterable[str], families: Mapping[str, str]) -> set[str]:
    """Keys of the families of live API tokens. `families`: of those that were rotated."""
    return {families.get(token, family_key(token)) for token in live}


def _new_use(limits: TokenLimits, public: PublicTerms | None = None) -> dict[str, Any]:
    use: dict[str, Any] = dynamo.values({"use": token_use_attribute(TokenUse(limits, public=public))})["use"]
    return use


class DynamoGrants:
    """`sluice.ports.gateway.GrantStore`."""

    def __init__(self, table_prefix: str) -> None:
        self._table = table_prefix + "grants"

    def live(self, account_id: str) -> dict[str, int]:
        """API token id → expiry in Unix seconds, without the playground's entry. Errors: NotFound."""
        return self.live_with_limits(account_id)[0]

    def live_with_limits(
        self, account_id: str
    ) -> tuple[dict[str, int], dict[str, TokenLimits], dict[str, PublicTerms]]:
        """`live`, by family the limits of those that have some, and the terms of publishable ones. Errors: NotFound."""
        grant = self._read(account_id)
        limits = {
            token_id_of(family): TokenLimits(**{LIMIT_LETTERS[key]: limit for key, limit in use["l"].items()})
            for family, use in grant.get("tl", {}).items()
        }
        public = {
            token_id_of(family): PublicTerms(tuple(use["w"]["o"]), use["w"]["d"], use["w"]["r"])
            for family, use in grant.get("tl", {}).items()
            if "w" in use
        }
        return _without(grant["live"], PLAYGROUND), limits, public

    def add_live(
        self,
        account_id: str,
        token_id: str,
        expires_s: int,
        now_s: int,
        epoch: int,
        limits: TokenLimits | None = None,
        family: str | None = None,
        public: PublicTerms | None = None,
    ) -> None:
        """Add a live API token and prune expired ones in one write, which succeeds only if there is room and the
        session of this epoch has not been ended by a reset of the password.

        Errors: TokenLimitReached, NotAuthenticated, NotFound.
        """
        self._make_live(account_id, token_id, _Terms(expires_s, epoch, limits, family, public=public), now_s)

    def rotate_live(
        self, account_id: str, token_id: str, expires_s: int, now_s: int, epoch: int, replaced: Replaced
    ) -> None:
        """As `add_live`, and in the same write the token that is replaced ends: of several that replace it at the same
        time one wins. Errors: as `add_live`, Conflict."""
        self._make_live(account_id, token_id, _Terms(expires_s, epoch, None, replaced.family, replaced), now_s)

    def _make_live(self, account_id: str, token_id: str, terms: "_Terms", now_s: int) -> None:
        grant: Mapping[str, Any] = self._read(account_id)
        for _ in range(ATTEMPTS):
            if terms.replaced and not terms.replaced.can_be(grant["live"], now_s):
                raise Conflict("This API token is not live any more, or was rotated already.")
            if terms.need_room and not has_room(grant["live"], now_s):
                raise TokenLimitReached()
            if terms.need_maps and "tl" not in grant:
                self._set(account_id, MAPS_EXIST, {":none": {}})
            try:
                expired = expired_tokens(grant["live"], now_s)
                self._forget_families(*self._add(account_id, token_id, terms, expired), now_s)
                return
            except dynamo.ConditionFailed as exc:
                if not exc.old:
                    raise NotFound() from exc
                if exc.old.get("token_epoch", 0) > terms.epoch:
                    raise NotAuthenticated() from exc
                grant = exc.old
                if token_id in grant["live"]:
                    return  # an answer was lost, and the client's retry found what the first attempt had written
        raise Unavailable()

    def _add(
        self, account_id: str, token_id: str, terms: "_Terms", expired: list[str]
    ) -> tuple[dict[str, Any], dict[str, int]]:
        """→ the grant before the write, with the family of the new token, and `live` after it."""
        names = {f"#old{place}": token for place, token in enumerate(expired)}
        removes = " REMOVE " + ", ".join(f"live.{name}" for name in names) if names else ""
        clauses = [EXISTS, SESSION_IS_CURRENT, "attribute_not_exists(live.#new)"]
        clauses += [HAS_ROOM] if terms.need_room else []
        # The pruned entries must still exist: otherwise a concurrent call pruned them and used the room.
        clauses += [f"attribute_exists(live.{name})" for name in names]
        clauses += ["attribute_exists(tl)"] if terms.need_maps else []
        room = MAX_LIVE_TOKENS + 1 + len(expired)  # size() includes the playground's entry
        sets, names = "SET live.#new = :expires", {"#new": token_id, **names}
        values: dict[str, Any] = {":expires": terms.expires_s, ":epoch": terms.epoch}
        values |= {":room": room} if terms.need_room else {}
        if terms.use:  # an API token that another one was rotated into goes on with its counters
            sets += ", tl.#family = if_not_exists(tl.#family, :use)"
            names["#family"], values[":use"] = family_key(terms.family or token_id), terms.use
        if terms.family:
            sets += ", tf.#new = :family"
            values[":family"] = family_key(terms.family)
        live = {token_id: terms.expires_s}
        if (replaced := terms.replaced) is not None:
            clauses.append("live.#replaced = :as_issued")
            names["#replaced"], values[":as_issued"] = replaced.token_id, replaced.expires_s
            if replaced.until_s is None:
                removes = (removes + ", " if removes else " REMOVE ") + "live.#replaced"
                expired = [*expired, replaced.token_id]
            else:
                sets, values[":until"] = sets + ", live.#replaced = :until", replaced.until_s
                live[replaced.token_id] = replaced.until_s
        before = self._update(account_id, sets + removes, " AND ".join(clauses), names, values)
        families = before.get("tf", {}) | ({token_id: family_key(terms.family)} if terms.family else {})
        return {**before, "tf": families}, _without(before["live"], *expired) | live

    def remove_live(self, account_id: str, token_id: str) -> None:
        """Remove a live API token, so that it is refused. A missing token is no error. Errors: NotFound (no grant)."""
        try:
            before = self._update(account_id, "REMOVE live.#token", EXISTS, {"#token": token_id}, {})
        except dynamo.ConditionFailed as exc:
            raise NotFound() from exc
        self._forget_families(before, _without(before["live"], token_id), 0)

    def remove_all_live(self, account_id: str, now_s: int) -> list[str]:
        """Remove all API tokens by one write. → the ids of those that were live. Errors: NotFound."""
        try:
            old = self._update(account_id, "SET live = :kept REMOVE tl, tf", EXISTS, {}, {":kept": NO_TOKENS})
        except dynamo.ConditionFailed as exc:
            raise NotFound() from exc
        return sorted(live_tokens(old["live"], now_s))

    # --- limits of API tokens

    def set_token_limits(self, account_id: str, family: str, limits: TokenLimits | None) -> None:
        """Counters stay, unless `limits` is None, which removes both. Nothing happens where no live API token is of the
        family. Errors: NotFound, Unavailable (too many changes at the same time)."""
        key = family_key(family)
        names, exists = {"#family": key}, "attribute_exists(tl.#family)"
        change, values = "REMOVE tl.#family", dict[str, Any]()
        if limits is not None:
            change, values = "SET tl.#family.l = :limits", {":limits": _new_use(limits)["l"]}
        for _ in range(ATTEMPTS):
            with suppress(dynamo.ConditionFailed):
                self._update(account_id, change, exists, names, values)
                return
            grant = self._set(account_id, MAPS_EXIST, {":none": {}})
            live = grant["live"]
            if limits is None or key not in _families(live, grant.get("tf", {})):
                return
            first = {":use": _new_use(limits), ":live": live}
            with suppress(dynamo.ConditionFailed):  # an API token was issued or revoked meanwhile
                new = "live = :live AND attribute_not_exists(tl.#family)"
                self._update(account_id, "SET tl.#family = :use", new, names, first)
                return
        raise Unavailable()

    def set_public_terms(self, account_id: str, family: str, changes: Mapping[str, Any]) -> None:
        """Errors: NotFound, also where no publishable token is of the family."""
        sets = ", ".join(f"tl.#family.w.{PUBLIC_LETTERS[name]} = :{name}" for name in changes)
        names, exists = {"#family": family_key(family)}, "attribute_exists(tl.#family.w)"
        values = {f":{name}": list(value) if isinstance(value, tuple) else value for name, value in changes.items()}
        try:
            self._update(account_id, f"SET {sets}", exists, names, values)
        except dynamo.ConditionFailed as exc:
            raise NotFound() from exc

    def _forget_families(self, before: Mapping[str, Any], live: Mapping[str, int], now_s: int) -> None:
        """Remove limits and families of which no API token is left. `before`: the grant before the write that left
        `live`. A loser of a race leaves them to the next change."""
        limits, families = before.get("tl", {}), before.get("tf", {})
        if not limits and not families:
            return
        alive = _families([token for token, expires_s in live.items() if expires_s > now_s], families)
        gone = [("tl", family) for family in limits if family not in alive]
        gone += [("tf", token) for token in families if live.get(token, 0) <= now_s]
        if not gone:
            return
        names = {f"#gone{place}": key for place, (_, key) in enumerate(gone)}
        removes = ", ".join(f"{where}.#gone{place}" for place, (where, _) in enumerate(gone))
        with suppress(dynamo.ConditionFailed):
            self._update(before["account_id"], "REMOVE " + removes, LIVE_IS_AS_READ, names, {":live": live})

    # --- what the owner and the admin may change

    def set_store_content(self, account_id: str, wanted: bool) -> None:
        """Set whether prompts and responses of future requests are logged. Errors: NotFound."""
        self._set(account_id, "SET store_content = :wanted", {":wanted": wanted})

    def set_standing(self, account_id: str, standing: str) -> str:
        """Set `good` or `suspended`, also for running requests. → the previous standing. Errors: NotFound."""
        return str(self._set(account_id, "SET standing = :standing", {":standing": standing})["standing"])

    def set_limits(
        self,
        account_id: str,
        before: Limits,
        after: Limits,
        own: Mapping[str, int],
        own_before: Mapping[str, int] | None = None,
    ) -> None:
        """Replaces the whole map, because admission compares it by value. `own`: all limits of this account alone.
        Errors: Conflict (changed since `before` and `own_before`, as by another plan, which ends the own limits)."""
        values = {":before": asdict(before), ":after": asdict(after), ":own": dict(own)}
        as_read = f"{LIMITS_ARE_AS_READ} AND {OWN_IS_NONE if own_before is None else OWN_IS_AS_READ}"
        values |= {} if own_before is None else {":own_before": dict(own_before)}
        try:
            self._update(account_id, "SET limits = :after, own = :own", as_read, {}, values)
        except dynamo.ConditionFailed as exc:
            raise (Conflict() if exc.old else NotFound()) from exc

    def set_plan(self, account_id: str, plan: str) -> None:
        """Version 0 makes the next admission write the plan's limits. Errors: NotFound."""
        change = "SET #plan = :plan, own = :none, pv = :zero"
        try:
            self._update(account_id, change, EXISTS, {"#plan": "plan"}, {":plan": plan, ":none": {}, ":zero": 0})
        except dynamo.ConditionFailed as exc:
            raise NotFound() from exc

    def used(self, account_id: str) -> tuple[int, int]:
        """Errors: NotFound."""
        grant = self._read(account_id)
        return grant["period"], grant["period_tokens"]

    def use_at_least(self, account_id: str, period: int, tokens: int) -> int:
        """Count so many tokens as used in this month, unless more are counted already. → how many that added.

        What running requests have reserved is counted on top, because their settlement subtracts it again.
        Errors: NotFound, Unavailable (too many changes at the same time).
        """
        for _ in range(ATTEMPTS):
            grant = self._read(account_id)
            counted = int(grant["period_tokens"]) if grant["period"] == period else 0
            held = [*grant["leases"].values(), *grant.get(ROWS, {}).values()]
            reserved = sum(int(lease["r"]) for lease in held if lease["d"] == period)
            if grant["period"] > period or counted - reserved >= tokens:
                return 0
            read = {":before": grant["period"], ":counted": grant["period_tokens"], ":leases": grant["leases"]}
            if ROWS in grant:
                read[":rows"] = grant[ROWS]
            values = {":period": period, ":tokens": tokens + reserved, **read}
            with suppress(dynamo.ConditionFailed):
                as_read = f"{USE_IS_AS_READ} AND {ROWS_ARE_AS_READ if ROWS in grant else NO_ROWS}"
                self._update(account_id, "SET period = :period, period_tokens = :tokens", as_read, {}, values)
                return tokens + reserved - counted
        raise Unavailable()

    def use_less(self, account_id: str, period: int, tokens: int) -> None:
        """Take back what `use_at_least` added. A later month has begun at 0."""
        change, values = "SET period_tokens = period_tokens - :tokens", {":period": period, ":tokens": tokens}
        with suppress(dynamo.ConditionFailed):
            self._update(account_id, change, "period = :period", {}, values)

    def close(self, account_id: str) -> tuple[int, int]:
        """Refuse all API tokens and sessions from now on, and log no more content. The amounts stay.

        → as `used`. A missing grant counts as closed.
        """
        values = {":none": {}, ":suspended": "suspended", ":no": False}
        change = "SET live = :none, standing = :suspended, store_content = :no REMOVE tl, tf"
        try:
            old = self._update(account_id, change, EXISTS, {}, values)
        except dynamo.ConditionFailed:
            return 0, 0
        return old["period"], old["period_tokens"]

    def _read(self, account_id: str) -> dict[str, Any]:
        with dynamo.store_errors():
            answer = dynamo.client().get_item(
                TableName=self._table, Key=dynamo.item({"account_id": account_id}), ConsistentRead=True
            )
        if "Item" not in answer:
            raise NotFound()
        return dynamo.values(answer["Item"])

    def _set(self, account_id: str, change: str, values: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return self._update(account_id, change, EXISTS, {}, values)
        except dynamo.ConditionFailed as exc:
            raise NotFound() from exc

    def _update(
        self, account_id: str, change: str, condition: str, names: Mapping[str, str], values: Mapping[str, Any]
    ) -> dict[str, Any]:
        """→ the item before the update. Errors: ConditionFailed, with the item; StoreUnavailable."""
        arguments: dict[str, Any] = {"ExpressionAttributeNames": dict(names)} if names else {}
        if values:
            arguments["ExpressionAttributeValues"] = dynamo.item(values)
        answer = dynamo.write(
            lambda: dynamo.client().update_item(
                TableName=self._table,
                Key=dynamo.item({"account_id": account_id}),
                UpdateExpression=change,
                ConditionExpression=condition,
                ReturnValues="ALL_OLD",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **arguments,
            )
        )
        return dynamo.values(answer.get("Attributes", {}))
