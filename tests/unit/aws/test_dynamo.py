"""A write that conflicts with a transaction is tried again; when that does not help, the error says so truly."""

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
    """Raises one of the given errors at each call, then answers."""

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
def test_a_write_that_conflicts_twice_succeeds_at_the_third_try(error: Refused) -> None:
    script = Script(error, error)
    assert script.run() == "written"
    assert (script.calls, len(script.slept)) == (3, 2)


@pytest.mark.parametrize("error", TRANSIENT.values(), ids=TRANSIENT.keys())
def test_a_lasting_conflict_is_retried_for_about_a_second(error: Refused) -> None:
    script = Script(*[error] * 100)
    with pytest.raises(StoreUnavailable):
        script.run()
    assert script.calls == dynamo.CONFLICT_ATTEMPTS
    assert sum(script.slept) <= 2


def test_a_failed_condition_is_not_retried_and_names_the_items() -> None:
    script = Script(*[cancelled(NONE, FAILED, NONE, FAILED)] * 9)
    with pytest.raises(dynamo.ConditionFailed) as refusal:
        script.run()
    assert (script.calls, refusal.value.failed) == (1, (1, 3))


@pytest.mark.parametrize("error", [refused("InternalServerError"), Unanswered("UpdateItem: TimeoutError")])
def test_any_other_store_error_is_unavailable_without_its_message(error: Exception) -> None:
    script = Script(error)
    with pytest.raises(StoreUnavailable) as trouble:
        script.run()
    assert script.calls == 1 and str(error) not in str(trouble.value)


# --- the errors of the accounts' table


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


def test_a_registration_that_conflicts_twice_succeeds(scripted: Any) -> None:
    script = scripted(cancelled(NONE, CONFLICT, NONE, NONE), cancelled(NONE, CONFLICT, NONE, NONE))
    create()
    assert script.calls == 3


@pytest.mark.parametrize("beside", [NONE, FAILED])
def test_a_registration_that_only_conflicts_is_unavailable_not_an_address_in_use(scripted: Any, beside: str) -> None:
    scripted(*[cancelled(beside, CONFLICT, NONE, NONE)] * 9)
    with pytest.raises(StoreUnavailable):
        create()


def test_only_a_failed_condition_means_that_the_address_is_in_use(scripted: Any) -> None:
    scripted(cancelled(NONE, FAILED, NONE, NONE))
    with pytest.raises(AddressTaken):
        create()


@pytest.mark.parametrize(
    "write, errors",
    [
        (lambda accounts: accounts.put_code(ACCOUNT, "verify_email", CODE, MAIL), [cancelled(CONFLICT, NONE)] * 9),
        (
            lambda accounts: accounts.redeem_verification(ACCOUNT, MAIL.mail_id, NOW_MS),
            [cancelled(CONFLICT, NONE, NONE)] * 9,
        ),
        (
            lambda accounts: accounts.redeem_reset(ACCOUNT, MAIL.mail_id, "hash", NOW_MS, keep_tokens=False),
            [cancelled(CONFLICT, NONE)] * 9,
        ),
    ],
)
def test_a_code_that_only_meets_conflicts_is_unavailable_and_not_invalid(
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
