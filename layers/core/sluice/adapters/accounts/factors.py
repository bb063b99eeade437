"""Second factors stand in their account's item, so that nobody reads more for them; questions are items of the sessions
table, which expire there. A code, a time step and a question are each used up by one conditional write (ADR 131).
"""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from sluice.adapters.aws import dynamo
from sluice.domain.accounts.account import Account
from sluice.domain.accounts.factors import (
    MOST_FACTORS,
    MOST_TRIES,
    ChallengeInvalid,
    Factor,
    Question,
    SignedBy,
    WrongFactor,
)
from sluice.domain.errors import Conflict, NotFound

# No factor was added since the account was read, and no new password set.
IS_FIRST = "attribute_exists(pk) AND attribute_not_exists(factors) AND session_epoch = :epoch"
# There are others, this is none of them, and there is room; no new password was set.
IS_ANOTHER = "size(factors) < :most AND attribute_not_exists(factors.#id) AND session_epoch = :epoch"
IS_ONE_OF_SEVERAL = "attribute_exists(factors.#id) AND size(factors) > :one"
IS_THE_LAST = "attribute_exists(factors.#id) AND size(factors) = :one"
HAS_ANY = "attribute_exists(factors)"
# The code's time step is later than every one used, and the password is still the one that was shown.
STEP_IS_NEW = "factors.#id.last_step < :step AND session_epoch = :epoch"
CODE_IS_UNUSED = "attribute_exists(recovery.#hash) AND session_epoch = :epoch"
# Of two answers that a passkey and its copy sign at once, one counts.
COUNT_IS_AS_READ = "factors.#id.sign_count = :seen AND session_epoch = :epoch"
# The question is there, has not expired, and has tries left.
MAY_TRY = "expires_ms > :now_ms AND tries < :most"
IS_ASKED = "attribute_exists(session_id)"
FIELDS = frozenset(field.name for field in fields(Question)) - {"key"}


class DynamoFactors:
    """`sluice.ports.FactorStore`."""

    def __init__(self, table_prefix: str) -> None:
        self._accounts = table_prefix + "accounts"
        self._sessions = table_prefix + "sessions"

    # --- questions

    def ask(self, question: Question) -> None:
        told = {name: value for name, value in asdict(question).items() if name != "key"}
        item = dynamo.item({"session_id": question.key, **told, "ttl_s": question.expires_ms // 1000})
        dynamo.write(lambda: dynamo.client().put_item(TableName=self._sessions, Item=item))

    def asked(self, key: str) -> Question | None:
        with dynamo.store_errors():
            answer = dynamo.client().get_item(TableName=self._sessions, Key=_key(key), ConsistentRead=True)
        return _question(dynamo.values(answer["Item"])) if "Item" in answer else None

    def count_try(self, key: str, now_ms: int) -> Question:
        try:
            answer = dynamo.write(
                lambda: dynamo.client().update_item(
                    TableName=self._sessions,
                    Key=_key(key),
                    UpdateExpression="SET tries = tries + :one",
                    ConditionExpression=MAY_TRY,
                    ExpressionAttributeValues=dynamo.item({":now_ms": now_ms, ":most": MOST_TRIES, ":one": 1}),
                    ReturnValues="ALL_NEW",
                )
            )
        except dynamo.ConditionFailed as exc:
            raise ChallengeInvalid() from exc
        return _question(dynamo.values(answer["Attributes"]))

    def forget(self, key: str) -> None:
        dynamo.write(lambda: dynamo.client().delete_item(TableName=self._sessions, Key=_key(key)))

    def take(self, key: str) -> Question | None:
        gone: Any = {"TableName": self._sessions, "Key": _key(key), "ReturnValues": "ALL_OLD"}
        answer = dynamo.write(lambda: dynamo.client().delete_item(**gone))
        return _question(dynamo.values(answer["Attributes"])) if "Attributes" in answer else None

    # --- factors

    def add(self, account: Account, factor: Factor, recovery: Mapping[str, int]) -> None:
        told, epoch = asdict(factor), {":epoch": account.session_epoch}
        values: dict[str, Any]
        if account.factors:
            change, condition, names = "SET factors.#id = :factor", IS_ANOTHER, {"#id": factor.factor_id}
            values = {":factor": told, ":most": MOST_FACTORS, **epoch}
        else:
            change, condition, names = "SET factors = :factors, recovery = :recovery", IS_FIRST, {}
            values = {":factors": {factor.factor_id: told}, ":recovery": dict(recovery), **epoch}
        self._change(account.account_id, change, condition, names, values, Conflict(MANY))

    def remove(self, account: Account, factor_id: str) -> None:
        names, values = {"#id": factor_id}, {":one": 1}
        try:
            self._change(account.account_id, "REMOVE factors.#id", IS_ONE_OF_SEVERAL, names, values, NotFound())
        except NotFound:
            self._change(account.account_id, "REMOVE factors, recovery", IS_THE_LAST, names, values, NotFound())

    def remove_all(self, account_id: str) -> bool:
        try:
            self._change(account_id, "REMOVE factors, recovery", HAS_ANY, {}, {}, NotFound())
        except NotFound:
            return False
        return True

    def renew_recovery(self, account: Account, recovery: Mapping[str, int]) -> None:
        values = {":recovery": dict(recovery)}
        none = Conflict("Set up an authenticator app or a passkey first.")
        self._change(account.account_id, "SET recovery = :recovery", HAS_ANY, {}, values, none)

    # --- what is used up

    def spend_step(self, account: Account, factor_id: str, step: int, now_ms: int, answered: str = "") -> None:
        change = "SET factors.#id.last_step = :step, factors.#id.last_used_ms = :now_ms"
        values = {":step": step, ":now_ms": now_ms}
        self._spend(account, change, STEP_IS_NEW, {"#id": factor_id}, values, answered)

    def spend_recovery(self, account: Account, code_hash: str, answered: str = "") -> None:
        self._spend(account, "REMOVE recovery.#hash", CODE_IS_UNUSED, {"#hash": code_hash}, {}, answered)

    def spend_passkey(self, account: Account, signed: SignedBy, now_ms: int, answered: str) -> None:
        change = "SET factors.#id.sign_count = :count, factors.#id.last_used_ms = :now_ms"
        values = {":count": signed.sign_count, ":seen": signed.factor.sign_count, ":now_ms": now_ms}
        self._spend(account, change, COUNT_IS_AS_READ, {"#id": signed.factor.factor_id}, values, answered)

    def _spend(
        self,
        account: Account,
        change: str,
        condition: str,
        names: Mapping[str, str],
        values: Mapping[str, Any],
        answered: str,
    ) -> None:
        """With the question that it answers, in one transaction: neither is used up without the other."""
        values = {**values, ":epoch": account.session_epoch}
        if not answered:
            self._change(account.account_id, change, condition, names, values, WrongFactor())
            return
        update = self._update(account.account_id, change, condition, names, values)
        gone = {"TableName": self._sessions, "Key": _key(answered), "ConditionExpression": IS_ASKED}
        writes: Any = [{"Update": update}, {"Delete": gone}]
        try:
            dynamo.write(lambda: dynamo.client().transact_write_items(TransactItems=writes))
        except dynamo.ConditionFailed as exc:
            raise WrongFactor() from exc

    def _change(
        self,
        account_id: str,
        change: str,
        condition: str,
        names: Mapping[str, str],
        values: Mapping[str, Any],
        otherwise: Exception,
    ) -> None:
        update = self._update(account_id, change, condition, names, values)
        try:
            dynamo.write(lambda: dynamo.client().update_item(**update))
        except dynamo.ConditionFailed as exc:
            raise otherwise from exc

    def _update(
        self, account_id: str, change: str, condition: str, names: Mapping[str, str], values: Mapping[str, Any]
    ) -> Any:
        return {
            "TableName": self._accounts,
            "Key": dynamo.item({"pk": account_id}),
            "UpdateExpression": change,
            "ConditionExpression": condition,
            **({"ExpressionAttributeNames": dict(names)} if names else {}),
            **({"ExpressionAttributeValues": dynamo.item(values)} if values else {}),
        }


MANY = f"Something else changed your two-step login meanwhile, or you have {MOST_FACTORS} ways already. Look again."


def _key(key: str) -> dict[str, Any]:
    return dynamo.item({"session_id": key})


def _question(stored: Mapping[str, Any]) -> Question:
    return Question(key=stored["session_id"], **{name: value for name, value in stored.items() if name in FIELDS})
