"""Login, sessions and password confirmation with fakes: the order of the checks, and which attempts are counted."""

from dataclasses import replace

import pytest

from sluice.domain.accounts.account import Account
from sluice.domain.accounts.sessions import new_session
from sluice.domain.accounts.visitor import Visitor
from sluice.domain.errors import (
    AccountSuspended,
    EmailNotVerified,
    InvalidCredentials,
    NotAuthenticated,
    StoreUnavailable,
)
from sluice.services.accounts.login import Login
from sluice.services.accounts.new_passwords import NewPasswords
from sluice.services.accounts.passwords import Passwords
from sluice.services.accounts.security_events import SecurityEvents
from sluice.services.accounts.sessions import Sessions
from sluice.services.accounts.sign_in import LoggedIn, SignIn
from tests.fakes.account_side import FakeAccounts, FakeAudit, FakeMails, FakePasswords, FakeSessions, OpenThrottles

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
ANN = Account("usr_ann", "Ann@example.com", "ann@example.com", "Ann", "<right>", NOW_MS, status="active")


class Scene:
    def __init__(self, account: Account = ANN) -> None:
        self.accounts = FakeAccounts(account)
        self.sessions = FakeSessions(self.accounts)
        self.throttles = OpenThrottles()
        self.mails = FakeMails()
        self.bound = Sessions(self.sessions, self.accounts)  # type: ignore[arg-type]

    def login(self, email: str = "ann@example.com", password: str = "right") -> LoggedIn:
        events = SecurityEvents(FakeAudit(), OpenThrottles())  # type: ignore[arg-type]
        sign_in = SignIn(
            accounts=self.accounts,  # type: ignore[arg-type]
            sessions=self.sessions,
            mails=self.mails,  # type: ignore[arg-type]
            events=events,
            factors=None,  # type: ignore[arg-type]  # not asked without a second factor
            second=lambda: None,  # type: ignore[arg-type, return-value]
            passkeys=lambda: None,  # type: ignore[arg-type, return-value]
            session_hours=2,
        )
        bound = Login(self.accounts, FakePasswords(), self.throttles, events, sign_in)  # type: ignore[arg-type]
        logged_in = bound.log_in(email, password, Visitor("192.0.2.1", NOW_MS, "browser" * 100))
        assert isinstance(logged_in, LoggedIn)
        return logged_in

    def who(self, session_token: str, now_ms: int = NOW_MS) -> str:
        return self.bound.authenticate(session_token, now_ms).account.account_id


TAKEN = [("take", "login-account"), ("take", "login-pair"), ("take", "login-client")]
RETURNED = [("succeeded", "login-pair"), ("give_back", "login-account"), ("give_back", "login-client")]


def test_a_successful_login_makes_a_session_and_is_not_counted_as_an_attempt() -> None:
    scene = Scene()
    logged_in = scene.login()
    assert scene.who(logged_in.new.session_token) == "usr_ann"
    assert scene.throttles.seen == TAKEN + RETURNED
    assert len(logged_in.new.session.user_agent) == 200
    assert logged_in.new.session_token not in repr(logged_in)


@pytest.mark.parametrize(("email", "password"), [("ann@example.com", "wrong"), ("bob@example.com", "right")])
def test_a_failed_login_is_counted(email: str, password: str) -> None:
    scene = Scene()
    with pytest.raises(InvalidCredentials):
        scene.login(email, password)
    assert scene.throttles.seen == TAKEN and scene.sessions.sessions == {}


@pytest.mark.parametrize(("status", "error"), [("pending", EmailNotVerified), ("suspended", AccountSuspended)])
def test_only_the_right_password_gets_the_reason_of_the_refusal(status: str, error: type[Exception]) -> None:
    scene = Scene(replace(ANN, status=status))  # type: ignore[arg-type]
    with pytest.raises(error):
        scene.login()
    with pytest.raises(InvalidCredentials):
        scene.login(password="wrong")
    assert scene.sessions.sessions == {}


def test_a_session_ends_exactly_at_its_expiry() -> None:
    scene = Scene()
    token = scene.login().new.session_token
    assert scene.who(token, NOW_MS + 2 * HOUR_MS - 1)
    with pytest.raises(NotAuthenticated):
        scene.who(token, NOW_MS + 2 * HOUR_MS)


def test_a_session_that_a_password_reset_overtook_is_refused() -> None:
    """The login verified the old password while a reset changed it."""
    scene = Scene()
    stale = new_session(ANN, hours=1, user_agent="", now_ms=NOW_MS)
    scene.accounts.put(replace(ANN, session_epoch=1))
    scene.sessions.put(stale.session)
    with pytest.raises(NotAuthenticated):
        scene.who(stale.session_token)
    listed = scene.bound.current("usr_ann", NOW_MS)
    assert listed == []


def test_a_session_of_a_deleted_account_is_refused() -> None:
    scene = Scene()
    token = scene.login().new.session_token
    scene.accounts.accounts.clear()
    with pytest.raises(NotAuthenticated):
        scene.who(token)


def test_a_session_is_refused_while_the_store_cannot_be_read() -> None:
    scene = Scene()
    token = scene.login().new.session_token
    for store, method in ((scene.sessions, "get"), (scene.accounts, "get")):
        store.broken = {method}
        with pytest.raises(StoreUnavailable):
            scene.who(token)
        store.broken = set()


def test_confirming_a_password_counts_only_wrong_passwords() -> None:
    scene, throttles = Scene(), OpenThrottles()
    passwords = Passwords(
        accounts=scene.accounts,  # type: ignore[arg-type]
        sessions=scene.sessions,
        mails=scene.mails,  # type: ignore[arg-type]
        passwords=NewPasswords(FakePasswords, dict),
        throttles=throttles,
        events=SecurityEvents(FakeAudit(), OpenThrottles()),  # type: ignore[arg-type]
    )
    passwords.confirm("usr_ann", "right", NOW_MS)
    with pytest.raises(InvalidCredentials):
        passwords.confirm("usr_ann", "wrong", NOW_MS)
    assert throttles.seen == [
        ("take", "confirm-password"),
        ("succeeded", "confirm-password"),
        ("take", "confirm-password"),
    ]


def test_a_login_from_a_new_place_is_reported_by_mail_without_the_clients_own_text() -> None:
    scene = Scene()
    scene.login()
    (mail,) = scene.mails.queued
    assert (mail.kind, mail.to) == ("new_sign_in", "Ann@example.com")
    assert mail.data == {"when": "2027-01-15T08:00:00Z", "client": "192.0.2.1", "agent": "a program"}


def test_many_logins_at_once_from_one_new_place_send_one_mail() -> None:
    scene = Scene()
    for _ in range(3):
        scene.login()
    assert len({mail.mail_id for mail in scene.mails.queued}) == 1


@pytest.mark.parametrize("known", [True, False])
def test_a_login_from_a_known_place_or_without_a_place_sends_no_mail(known: bool) -> None:
    scene = Scene()
    scene.throttles.remembers = known
    if known:
        scene.throttles.good_until_ms = NOW_MS + 1
    scene.login()
    assert scene.mails.queued == []


def test_a_login_succeeds_although_its_notice_cannot_be_queued() -> None:
    scene = Scene()
    scene.mails.broken = {"queue"}
    assert scene.login().account is ANN


def test_a_login_with_a_wrong_password_sends_no_mail() -> None:
    scene = Scene()
    with pytest.raises(InvalidCredentials):
        scene.login(password="wrong")
    assert scene.mails.queued == []
