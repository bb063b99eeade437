"""Writes that meet a transaction are tried again, and what comes out when that does not help is never a wrong word."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from sluice.adapters.accounts.accounts import DynamoAccounts
from sluice.adapters.aws import dynamo
from sluice.adapters.aws.json_service import Refused, Unanswered
from sluice.domain.accounts.account import Account, AddressTaken, PendingCode
from sluice.domain.errors import Conflict, MailedCodeInvalid, StoreUnavailable
from sluice.domain.mails.mail import Kind, new_mail
from tests.store_clients import forget_store_clients

NOW_MS = 1_800_000_000_000
CANCELED, CONFLICT, FAILED, NONE = (
    "TransactionCanceledException",
    "TransactionConflict",
    "ConditionalCheckFailed",
    "None",
)


def cancelled(*reasons: str) -> Refused:
    answer: Any = {
        "message": "Transaction cancelled",
        "CancellationReasons": [{"Code": reason} for reason in reasons],
    }
    return Refused(CANCELED, answer)


def refused(code: str) -> Refused:
    return Refused(code, {"message": code})


class Script:
    """Raises what it was given, one a call; then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.calls, self.slept = list(errors), 0, []  # type: ignore[var-annotated]

    def __call__(self, **arguments: Any) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "written"

    def run(self) -> str:
        return dynamo.write(self, self.slept.append)


TRANSIENT = {
    "a transaction's conflict": cancelled(NONE, CONFLICT),
    "a conflict beside a failed condition": cancelled(FAILED, CONFLICT),
    "a throttled transaction": cancelled("ThrottlingError", NONE),
    "no room for a transaction": cancelled("ProvisionedThroughputExceeded"),
    "a plain write in a transaction's way": refused("TransactionConflictException"),
    "the same transaction under way": refused("TransactionInProgressException"),
}


@pytest.mark.parametrize("error", TRANSIENT.values(), ids=TRANSIENT.keys())
def test_a_write_that_meets_a_transaction_twice_is_written_by_the_third_try(error: Refused) -> None:
    script = Script(error, error)
    assert script.run() == "written"
    assert (script.calls, len(script.slept)) == (3, 2)


@pytest.mark.parametrize("error", TRANSIENT.values(), ids=TRANSIENT.keys())
def test_a_conflict_without_end_is_tried_for_about_a_second_and_no_longer(error: Refused) -> None:
    script = Script(*[error] * 100)
    with pytest.raises(StoreUnavailable):
        script.run()
    assert script.calls == dynamo.CONFLICT_ATTEMPTS
    assert sum(script.slept) <= 2


def test_a_failed_condition_is_tried_once_and_says_where() -> None:
    script = Script(*[cancelled(NONE, FAILED, NONE, FAILED)] * 9)
    with pytest.raises(dynamo.ConditionFailed) as refusal:
        script.run()
    assert (script.calls, refusal.value.failed) == (1, (1, 3))


@pytest.mark.parametrize("error", [refused("InternalServerError"), Unanswered("UpdateItem: TimeoutError")])
def test_any_other_trouble_is_an_unreachable_store_without_a_word_of_it(error: Exception) -> None:
    script = Script(error)
    with pytest.raises(StoreUnavailable) as trouble:
        script.run()
    assert script.calls == 1 and str(error) not in str(trouble.value)


# --- what the accounts' table makes of it


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    def client(*errors: Exception) -> Script:
        script = Script(*errors)
        script.transact_write_items = script.update_item = script  # type: ignore[attr-defined]
        monkeypatch.setattr(dynamo, "client", lambda: script)
        return script

    monkeypatch.setattr(dynamo.write, "__defaults__", (lambda seconds: None,))
    yield client


ACCOUNT = Account("usr_a", "a@example.com", "a@example.com", "", "hash", NOW_MS)
MAIL = new_mail(Kind.VERIFY_EMAIL, account_id="usr_a", to="a@example.com", now_ms=NOW_MS)
CODE = PendingCode(MAIL.mail_id, MAIL.expires_ms, NOW_MS)


def create() -> None:
    DynamoAccounts("t-").create(ACCOUNT, {"account_id": "usr_a"}, MAIL)


def test_a_registration_that_meets_a_transaction_twice_is_made(scripted: Any) -> None:
    script = scripted(cancelled(NONE, CONFLICT, NONE, NONE), cancelled(NONE, CONFLICT, NONE, NONE))
    create()
    assert script.calls == 3


@pytest.mark.parametrize("beside", [NONE, FAILED])
def test_a_registration_that_only_meets_conflicts_is_unavailable_never_taken(scripted: Any, beside: str) -> None:
    scripted(*[cancelled(beside, CONFLICT, NONE, NONE)] * 9)
    with pytest.raises(StoreUnavailable):
        create()


def test_an_address_is_taken_only_by_a_failed_condition(scripted: Any) -> None:
    scripted(cancelled(NONE, FAILED, NONE, NONE))
    with pytest.raises(AddressTaken):
        create()


@pytest.mark.parametrize(
    "write, errors",
    [
        (lambda accounts: accounts.put_code(ACCOUNT, "verify_email", CODE, MAIL), [cancelled(CONFLICT, NONE)] * 9),
        (
            lambda accounts: accounts.redeem_verification("usr_a", MAIL.mail_id, NOW_MS),
            [refused("TransactionConflictException")] * 9,
        ),
        (
            lambda accounts: accounts.redeem_reset(ACCOUNT, MAIL.mail_id, "hash", NOW_MS),
            [refused("TransactionConflictException")] * 9,
        ),
    ],
)
def test_a_code_that_only_meets_conflicts_is_unavailable_never_invalid(
    scripted: Any, write: Any, errors: list[Exception]
) -> None:
    scripted(*errors)
    with pytest.raises(StoreUnavailable) as trouble:
        write(DynamoAccounts("t-"))
    assert not isinstance(trouble.value, (Conflict, MailedCodeInvalid))


def test_many_threads_at_once_get_one_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    forget_store_clients()
    start = Barrier(8)

    def ask(_: int) -> int:
        start.wait()
        return id(dynamo.client())

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    forget_store_clients()
