"""Every packaged zip function under the runtime interface emulator: it gets an event of its own source, and the test
checks what Lambda would return. Only the package, the layer and Lambda's own runtime client are on its path."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.aws.runtime.emulated import Emulated, emulated
from tests.aws.runtime.events import SCHEDULE_EVENT, api_event, stream_event, url_event
from tests.aws.runtime.town import Person, Town
from tests.aws.runtime.variables import zipped
from tests.integration.accounts.world import PASSWORD
from tests.waiting import eventually

Start = Callable[..., Emulated]


@pytest.fixture
def start(town: Town, lambda_build: Path, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:
        yield lambda name, **more: stack.enter_context(emulated(town, lambda_build, name, tmp_path, **more))


@pytest.fixture
def person(town: Town) -> Person:
    return town.newcomer()


def body(answer: Any) -> Any:
    return json.loads(answer["body"])


def post(path: str, said: Any, **headers: str) -> dict[str, Any]:
    return api_event("POST", path, said, **headers)


def test_registration_queues_a_mail_for_a_new_address(start: Start, town: Town) -> None:
    function = start("RegistrationFunction")
    answer = function(post("/auth/register", {"email": "rie@example.com", "password": PASSWORD}))
    assert (answer["statusCode"], body(answer)) == (202, {"status": "verification_sent"})
    again = function(post("/auth/register", {"email": "rie", "password": PASSWORD}))
    assert (again["statusCode"], body(again)["code"]) == (422, "validation_error")


def test_a_mail_goes_from_the_stream_through_mailer_to_verification(start: Start, town: Town) -> None:
    _, mail_id = town.registered()
    before = len(town.mail_server.received)
    assert start("MailerFunction")(stream_event("mails", {"mail_id": mail_id})) == {"batchItemFailures": []}
    (mail,) = town.mail_server.received[before:]
    text = mail.message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    link = next(word for word in text.split() if "verify-email?token=" in word)
    assert link.startswith("https://api.example.test/live/verify-email?token=mail_")
    code = {"token": link.partition("token=")[2]}
    function = start("VerificationFunction")
    assert [function(post("/auth/verify-email", code))["statusCode"] for _ in range(2)] == [200, 400]


def test_accounts_logs_a_user_in_and_accepts_the_session(start: Start, person: Person) -> None:
    function = start("AccountsFunction")
    answer = function(post("/auth/login", {"email": person.email, "password": PASSWORD}))
    assert answer["statusCode"] == 200
    session = body(answer)["session"]["token"]
    told = function(api_event("GET", "/account", Authorization=f"Bearer {session}"))
    assert body(told)["email"] == person.email
    assert function(api_event("GET", "/account"))["statusCode"] == 401


def test_tokens_signs_with_the_key_of_the_parameter_store(start: Start, person: Person) -> None:
    from sluice.wiring import peers

    function = start("TokensFunction")
    issued = function(post("/tokens", {"name": "rie"}, **person.logged_in))
    assert issued["statusCode"] == 201
    token = body(issued)
    claims = peers.token_verifier().verify(token["token"], int(time.time()))
    assert (claims.account_id, claims.token_id) == (person.account_id, token["id"])
    keys = body(function(api_event("GET", "/.well-known/jwks.json")))["keys"]
    assert [sorted(key) for key in keys] == [["alg", "crv", "kid", "kty", "use", "x"]]


def test_metering_folds_records_and_returns_the_failed_ones(start: Start, town: Town, person: Person) -> None:
    """A partial batch response: a missing record is no failure, and a record without a store is delivered again."""
    request_id = town.settled(person)
    keys = {"account_id": person.account_id, "request_id": request_id}
    event = stream_event("ledger", keys, keys)
    without_store = start("MeteringFunction", AWS_ENDPOINT_URL_DYNAMODB="http://127.0.0.1:9")
    failed = without_store(event)["batchItemFailures"]
    assert failed[0] == {"itemIdentifier": "1"}
    assert town.used_tokens(person) == 0
    function = start("MeteringFunction")
    for _ in range(2):  # delivery is at least once, so the second one must add nothing
        assert function(event) == {"batchItemFailures": []}
    assert town.used_tokens(person) == 12


def test_mailer_returns_records_as_failed_while_the_store_is_unavailable(start: Start, town: Town) -> None:
    _, mail_id = town.registered()
    event = stream_event("mails", {"mail_id": mail_id}, {"mail_id": mail_id})
    event["Records"].insert(1, {"eventName": "INSERT", "dynamodb": {}})  # malformed, but it must not delay the others
    failed = start("MailerFunction", AWS_ENDPOINT_URL_DYNAMODB="http://127.0.0.1:9")(event)
    assert failed == {"batchItemFailures": [{"itemIdentifier": "1"}, {"itemIdentifier": "2"}]}


def test_sweeper_settles_an_orphaned_request(start: Start, town: Town, person: Person) -> None:
    request_id = town.abandoned(person)
    done = start("SweeperFunction")(SCHEDULE_EVENT)
    assert done["settled"] >= 1 and done["failed"] == 0
    (record,) = town.ledger(person)
    assert (record.request_id, record.status, record.settled_by) == (request_id, 500, "sweeper")
    assert town.grant(person).leases == {}


def test_usage_chats_admin_and_web_answer(start: Start, town: Town, person: Person) -> None:
    admin = town.newcomer(role="admin")
    for name, event, status in (
        ("UsageFunction", api_event("GET", "/usage?group_by=day", **person.logged_in), 200),
        ("ChatsFunction", post("/chats", {"title": "x"}, **person.logged_in), 201),
        ("AdminFunction", api_event("GET", "/admin/users", **person.logged_in), 403),
        ("WebFunction", api_event("GET", "/openapi.json"), 200),
    ):
        assert start(name)(event)["statusCode"] == status, name
    users = start("AdminFunction")(api_event("GET", "/admin/users", **admin.logged_in))
    assert body(users)["data"]


def test_bounces_suppresses_mail_to_a_bounced_address(start: Start, town: Town, person: Person) -> None:
    bounced = {"bounceType": "Permanent", "bouncedRecipients": [{"emailAddress": person.email}]}
    notice = {"eventType": "Bounce", "bounce": bounced, "mail": {"messageId": "1"}}
    event = {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": json.dumps(notice)}}]}
    function = start("BouncesFunction")
    assert function(event) == {"noted": 1, "ignored": 0}
    assert function({"Records": [{"Sns": {"Message": "{"}}]}) == {"noted": 0, "ignored": 0}


def test_files_search_and_ingestion_start_from_their_packages(start: Start, person: Person) -> None:
    """With their bundled parsers and SQLite. Their work with a bucket is tested in the emulator."""
    listed = start("FilesFunction")(api_event("GET", "/v1/files", **person.bearer))
    assert (listed["statusCode"], body(listed)["data"]) == (200, [])
    malformed = start("SearchFunction")(url_event("POST", "/search", "{"))
    assert (malformed["statusCode"], body(malformed)["code"]) == (400, "invalid_json")
    assert start("IngestionFunction")({"Records": [{"eventSource": "aws:s3"}]}) is not None


def test_the_worker_leaves_a_run_that_is_gone_and_a_message_without_one(start: Start) -> None:
    named = json.dumps({"account_id": "usr_gone", "run_id": "req_01KBH2A3B4C5D6E7F8G9H0JKMN"})
    records = [{"messageId": str(place), "body": text} for place, text in enumerate((named, "no JSON"))]
    assert start("WorkerFunction")({"Records": records}) == {"batchItemFailures": []}


def test_a_webhook_is_made_and_told_of_a_response(start: Start, person: Person) -> None:
    """The secret is sealed by one function and opened by the other. The receiver's name leads nowhere."""
    made = start("WebhooksFunction")(
        post("/webhooks", {"url": "https://hook.invalid/", "events": ["token.expiring"]}, **person.logged_in)
    )
    assert made["statusCode"] == 201
    queued = json.dumps({"account_id": person.account_id, "run_id": f"hook#{body(made)['id']}"})
    function = start("EventsFunction")
    assert function({"Records": [{"messageId": "1", "body": queued}]}) == {"batchItemFailures": []}
    assert function(stream_event("runs", {"account_id": "usr_gone", "run_id": "live"})) == {"batchItemFailures": []}


ANSWERED = {
    "BouncesFunction", "FilesFunction", "SearchFunction", "IngestionFunction",
    "RegistrationFunction", "VerificationFunction", "AccountsFunction", "FactorsFunction", "TokensFunction",
    "MeteringFunction", "MailerFunction", "SweeperFunction", "UsageFunction", "ChatsFunction", "AdminFunction",
    "WebFunction", "WorkerFunction", "WebhooksFunction", "EventsFunction",
}  # fmt: skip


def test_factors_asks_for_a_session_and_refuses_a_challenge_that_is_none(start: Start, person: Person) -> None:
    function = start("FactorsFunction")
    assert body(function(api_event("GET", "/account/factors", **person.logged_in)))["data"] == []
    begun = function(api_event("POST", "/account/factors/totp", **person.logged_in))
    assert begun["statusCode"] == 200 and body(begun)["otpauth_url"].startswith("otpauth://totp/")
    refused = function(post("/auth/login/factor", {"challenge": "chl_x", "code": "123456"}))
    assert refused["statusCode"] == 401


def test_every_function_of_the_template_is_tested() -> None:
    assert set(zipped()) == ANSWERED


def test_a_warm_environment_keeps_no_data_of_earlier_callers(start: Start, town: Town, person: Person) -> None:
    """One process and three callers: one with a cookie, one without credentials, and another account."""
    other, function = town.newcomer(), start("AccountsFunction")
    first = function(post("/auth/login", {"email": person.email, "password": PASSWORD}))
    assert "Set-Cookie" in first["multiValueHeaders"]
    nobody = function(api_event("GET", "/account"))
    assert nobody["statusCode"] == 401 and "Set-Cookie" not in nobody["multiValueHeaders"]
    assert body(function(api_event("GET", "/account", **other.logged_in)))["email"] == other.email
    logged = lambda: re.findall(r'"message": "answered", "request_id": "(\w+)"', function.log())  # noqa: E731
    eventually(lambda: len(logged()) >= 3)
    ids = logged()
    assert len(ids) == len(set(ids)) == 3


def test_the_log_has_the_requests_id_and_no_secret(start: Start, person: Person) -> None:
    function = start("AccountsFunction")
    first = function(api_event("GET", "/account", **person.logged_in))
    function(post("/auth/login", {"email": person.email, "password": "wrong wrong wrong"}))
    eventually(lambda: function.log().count("REPORT RequestId") >= 2)
    log = function.log()
    assert person.session not in log and "wrong wrong wrong" not in log
    assert first["multiValueHeaders"]["x-request-id"][0] not in ("", None)
    assert log.count("REPORT RequestId") == 2
