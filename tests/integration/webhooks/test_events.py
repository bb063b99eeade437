"""Changes of tables become domain events, each with an id that stays, and what webhooks are told of."""

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest

from functions.events.app import handler
from functions.worker import app as worker
from infra.aws.parts import TEMPLATE
from infra.aws.transform import read
from sluice import settings
from sluice.adapters.runs.batches import DynamoBatches
from sluice.adapters.runs.queue import BATCH_SPOOL
from sluice.adapters.webhooks import buses
from sluice.domain.batches import WINDOW_MS
from sluice.domain.errors import InvalidModelRequest, StoreUnavailable
from sluice.domain.events import EVENTS, AccountVerified, Change, happened
from sluice.domain.mails.mail import SILENT, Kind, Mail
from sluice.domain.webhooks import HOUR_MS
from sluice.services.events import Publish
from sluice.wiring import peers, stores
from sluice.wiring.accounts import deletion
from sluice.wiring.webhooks import announce, overdue, publish
from tests.fakes.http_server import ScriptedServer, answer, scripted_server
from tests.integration.accounts.world import PASSWORD
from tests.integration.gateway.conftest import Person
from tests.integration.gateway.test_background import submitted, work
from tests.integration.gateway.test_batches import line, made
from tests.integration.gateway.test_batches import work as work_batches
from tests.integration.gateway.test_responses import sdk  # noqa: F401 (fixture)
from tests.integration.webhooks.conftest import Hook, Machine, hooked

DAY_MS = 24 * 3_600_000


def names(machine: Machine, account_id: str) -> list[str]:
    return [one["type"] for one in machine.events() if one["account_id"] == account_id]


def test_a_life_of_an_account_in_domain_events(person: Person, machine: Machine, clock: Callable[[int], None]) -> None:
    person.call("POST", f"/tokens/{person.token_id}/revoke")
    person.call("POST", f"/tokens/{person.token_id}/revoke")
    machine.relay()
    found = names(machine, person.account_id)
    assert sorted(found) == ["AccountRegistered", "AccountVerified", "TokenIssued", "TokenRevoked"]


def test_each_event_is_of_its_schema_and_holds_nothing_personal(person: Person, machine: Machine) -> None:
    work(person, submitted(person))
    machine.relay()
    by_name = {one.__name__: one for one in EVENTS}
    for event in machine.events():
        by_name[event.pop("type")].model_validate(event)
    text = json.dumps(machine.events())
    assert "@" not in text and "Paris" not in text and "laptop" not in text
    assert "RunCompleted" in names(machine, person.account_id)


def test_changes_that_come_twice_give_the_same_ids_and_one_delivery(
    person: Person, hook: Hook, machine: Machine, receiver: ScriptedServer
) -> None:
    work(person, submitted(person))
    records = machine.records()
    for _ in range(2):
        assert handler({"Records": records}, None) == {"batchItemFailures": []}
        machine.work()
    ids = [one["id"] for one in machine.events() if one["type"] == "RunCompleted"]
    assert len(ids) == 2 and len(set(ids)) == 1
    assert len(receiver.asked) == 1


@pytest.mark.parametrize("status", ["completed", "incomplete", "failed", "cancelled"])
def test_each_end_of_a_response_is_told_by_its_name(
    person: Person, machine: Machine, receiver: ScriptedServer, status: str
) -> None:
    from tests.fakes.upstream import chunk, usage_chunk

    hooked(person, receiver.url, *(f"response.{one}" for one in ("completed", "incomplete", "failed", "cancelled")))
    if status == "incomplete":
        person.script(chunk("Pa"), chunk(None, "length"), usage_chunk(10, 1))
    if status == "failed":
        person.script(InvalidModelRequest("No such thing."))
    response = submitted(person)
    if status == "cancelled":
        person.client.post(f"/v1/responses/{response['id']}/cancel", headers=person.api_token)
    work(person, response)
    machine.relay()
    machine.work()
    (asked,) = receiver.asked
    told = json.loads(asked.body)
    assert told["type"] == f"response.{status}" and told["data"] == {"id": response["id"]}


@pytest.mark.parametrize("status", ["completed", "failed", "expired", "cancelled"])
@pytest.mark.parametrize("killed", [False, True])
def test_each_end_of_a_batch_is_told_once_also_if_who_ended_it_died(
    person: Person,
    sdk: openai.OpenAI,  # noqa: F811
    machine: Machine,
    receiver: ScriptedServer,
    clock: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    killed: bool,
) -> None:
    hooked(person, receiver.url, *(f"batch.{one}" for one in ("completed", "failed", "expired", "cancelled")))
    batch = made(sdk, [{"custom_id": "none"}] if status == "failed" else [line(0)])
    if status == "cancelled":
        sdk.batches.cancel(batch.id)
    if status == "expired":
        clock(WINDOW_MS + 1)
    (message,) = (path.read_text() for path in (settings.common().data_dir / BATCH_SPOOL).glob("*.json"))
    with monkeypatch.context() as patch:
        if killed:
            patch.setattr(DynamoBatches, "close", lambda self, batch: None)
        work_batches()
    worker.handler({"Records": [{"messageId": "m", "body": message}]}, None)
    machine.relay()
    machine.work()
    (asked,) = receiver.asked
    told = json.loads(asked.body)
    assert told["type"] == f"batch.{status}" and told["data"] == {"id": batch.id}
    assert [one["status"] for one in machine.events() if one.get("kind") == "batch"] == [status]


def test_a_quota_that_is_reached_is_told_once_a_month(
    person: Person, machine: Machine, receiver: ScriptedServer
) -> None:
    from sluice.wiring.mails import quota_mails

    hooked(person, receiver.url, "quota.reached")
    grants = machine.store.prefix + "grants"
    machine.store.client.update_item(
        TableName=grants,
        Key={"account_id": {"S": person.account_id}},
        UpdateExpression="SET period_tokens = :used",
        ExpressionAttributeValues={":used": {"N": "900000"}},
    )
    for _ in range(2):
        quota_mails().check(person.account_id, peers.now_ms())
        machine.relay()
        machine.work()
    (asked,) = receiver.asked
    told = json.loads(asked.body)
    assert told["type"] == "quota.reached" and told["data"]["percent"] == 80
    assert [one["percent"] for one in machine.events() if one["type"] == "QuotaReached"] == [80]


def chosen(person: Person, *events: str) -> None:
    assert person.call("PATCH", "/account", json={"mails": list(events)}).status_code == 200


def mails_of(person: Person, kind: Kind) -> list[Mail]:
    return [mail for mail in stores.mail_store().of_account(person.account_id) if mail.kind == kind]


def test_a_quota_that_is_reached_is_told_to_webhooks_and_not_by_mail_where_its_owner_wants_none(
    person: Person, machine: Machine, receiver: ScriptedServer
) -> None:
    chosen(person)
    test_a_quota_that_is_reached_is_told_once_a_month(person, machine, receiver)
    (mail,) = mails_of(person, Kind.QUOTA_80)
    assert mail.state == SILENT


def test_who_chose_it_gets_a_mail_of_a_batch_that_ends(person: Person, sdk: openai.OpenAI, machine: Machine) -> None:  # noqa: F811
    machine.relay()
    made(sdk, [line(0)])
    work_batches()
    machine.relay()
    assert mails_of(person, Kind.BATCH_ENDED) == []  # nobody has chosen it
    chosen(person, "batch.completed")
    batch = made(sdk, [line(0)])
    failed = made(sdk, [{"custom_id": "none"}])
    work_batches()
    machine.relay()
    (mail,) = mails_of(person, Kind.BATCH_ENDED)
    assert mail.data == {"id": batch.id, "status": "completed"} and mail.state == "queued"
    assert failed.id != batch.id


def test_of_a_thousand_ends_in_an_hour_there_is_one_mail_of_each_kind(person: Person, machine: Machine) -> None:
    chosen(person, "response.completed", "response.failed")
    at_ms = peers.now_ms() // HOUR_MS * HOUR_MS
    for kind in ("response.completed", "response.failed", "response.cancelled"):
        for minute in (0, 1, 59, 60):
            announce()(person.account_id, kind, {"id": f"resp_{minute}"}, at_ms + minute * 60_000)
    told = sorted((mail.data["status"], mail.data["id"]) for mail in mails_of(person, Kind.RESPONSE_ENDED))
    assert told == [(status, f"resp_{minute}") for status in ("completed", "failed") for minute in (0, 60)]


def test_a_token_that_expires_is_not_told_by_mail_to_who_wants_none(
    person: Person, machine: Machine, receiver: ScriptedServer, clock: Callable[[int], None]
) -> None:
    chosen(person, "quota.reached")
    person.call("POST", f"/tokens/{person.token_id}/revoke")
    made = person.call("POST", "/tokens", json={"name": "robot", "expires_in": "30d"}).json
    assert made is not None
    machine.relay()
    hooked(person, receiver.url, "token.expiring")
    clock(24 * DAY_MS)
    machine.messages()
    overdue().requeue(peers.now_ms())
    machine.work()
    machine.work()
    assert [json.loads(asked.body)["data"]["id"] for asked in receiver.asked] == [made["id"]]
    assert mails_of(person, Kind.TOKEN_EXPIRING) == []


@pytest.mark.parametrize("end", ["", "revoke", "rotate"])
def test_a_token_that_expires_is_told_a_week_before_unless_it_has_ended(
    person: Person, machine: Machine, receiver: ScriptedServer, clock: Callable[[int], None], end: str
) -> None:
    hooked(person, receiver.url, "token.expiring")
    person.call("POST", f"/tokens/{person.token_id}/revoke")
    made = person.call("POST", "/tokens", json={"name": "robot", "expires_in": "30d"}).json
    assert made is not None
    machine.relay()
    if end:
        person.call("POST", f"/tokens/{made['id']}/{end}", json={"grace_seconds": 0} if end == "rotate" else None)

    def sweep() -> None:
        machine.messages()
        overdue().requeue(peers.now_ms())
        machine.work()
        machine.work()

    clock(22 * DAY_MS)
    sweep()
    assert receiver.asked == []
    clock(DAY_MS + 60_000)
    sweep()
    sweep()
    told = [json.loads(asked.body) for asked in receiver.asked]
    mails = [mail for mail in stores.mail_store().of_account(person.account_id) if mail.kind == Kind.TOKEN_EXPIRING]
    if end:
        assert told == [] and mails == []
    else:
        assert [(one["type"], one["data"]["id"]) for one in told] == [("token.expiring", made["id"])]
        assert [mail.data["name"] for mail in mails] == ["robot"]


def test_deleting_the_account_deletes_its_webhooks(person: Person, hook: Hook, machine: Machine) -> None:
    hook.call("POST", "/test")
    deletion().delete(person.account_id, "", PASSWORD, peers.now_ms(), is_fresh=True)
    machine.relay()
    machine.work()
    found = machine.store.client.scan(TableName=machine.store.prefix + "webhooks")["Items"]
    assert [one for one in found if one["account_id"]["S"] == person.account_id] == []


def test_while_nobody_takes_an_event_its_change_comes_again(
    person: Person, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = machine.records()

    def down(*_: Any) -> None:
        raise StoreUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(buses.EventFile, "publish", down)
        failed = handler({"Records": records}, None)["batchItemFailures"]
    assert failed and machine.events() == []
    numbers = {one["itemIdentifier"] for one in failed}
    again = [one for one in records if one["dynamodb"]["SequenceNumber"] in numbers]
    assert handler({"Records": again}, None) == {"batchItemFailures": []}
    assert "TokenIssued" in names(machine, person.account_id)


def test_a_malformed_change_is_skipped(machine: Machine) -> None:
    source = f"arn:aws:dynamodb:x:1:table/{machine.store.prefix}"
    change = {"SequenceNumber": "1", "ApproximateCreationDateTime": 1.0, "Keys": {"account_id": {"S": "usr_x"}}}
    records = [
        {"eventName": "INSERT", "dynamodb": {}},
        *(
            {"eventName": "INSERT", "eventSourceARN": f"{source}{table}/stream/x", "dynamodb": change}
            for table in ("tokens", "runs", "documents", "accounts", "mails", "other")
        ),
    ]
    assert handler({"Records": records}, None) == {"batchItemFailures": []}


# --- what the template's filters let through


def _fits(pattern: Any, value: Any) -> bool:
    """As Lambda filters events, of the forms that the template uses."""
    if isinstance(pattern, dict):
        return all(
            _fits(wanted, value.get(name) if isinstance(value, dict) else None) for name, wanted in pattern.items()
        )
    return any(
        (value is not None) == rule["exists"]
        if isinstance(rule, dict) and "exists" in rule
        else str(value).startswith(rule["prefix"])
        if isinstance(rule, dict)
        else value == rule
        for rule in pattern
    )


def test_no_filter_of_the_template_keeps_an_event_away(person: Person, machine: Machine) -> None:
    """Of everything that a whole life writes: what gives an event passes, and most of the rest does not."""
    work(person, submitted(person))
    person.ask()
    person.call("POST", f"/tokens/{person.token_id}/revoke")
    person.call("DELETE", f"/tokens/{person.token_id}")
    from sluice.wiring.changes import change_of

    sources = read(TEMPLATE)["Resources"]["EventsFunction"]["Properties"]["Events"]
    patterns = {
        name.lower(): [json.loads(one["Pattern"]) for one in source["Properties"]["FilterCriteria"]["Filters"]]
        for name, source in sources.items()
        if source["Type"] == "DynamoDB"
    }
    records = machine.records()
    passed = 0
    for record in records:
        change = change_of(record)
        assert change is not None
        fits = any(_fits(pattern, record) for pattern in patterns[change.table])
        passed += fits
        if change.table == "mails":
            assert fits or not change.is_new
        else:
            assert fits or not list(happened(change))
    assert 0 < passed < len(records)


# --- EventBridge


def test_events_go_to_the_named_bus_and_what_it_did_not_take_comes_again(
    person: Person, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As EventBridge answers: 200 also where it did not take all, which it says of each entry."""
    not_all = {"FailedEntryCount": 1, "Entries": [{"EventId": "1"}, {"ErrorCode": "InternalFailure"}]}
    records = machine.records()
    monkeypatch.setenv("SLUICE_EVENT_BUS", "sluice-events")
    keys = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    for cached in (settings.events, publish):
        cached.cache_clear()
    with scripted_server() as bus:
        for name, value in {**keys, "AWS_ENDPOINT_URL_EVENTS": bus.url}.items():
            monkeypatch.setenv(name, value)
        bus.script(answer(json.dumps(not_all).encode()))
        failed = {one["itemIdentifier"] for one in handler({"Records": records}, None)["batchItemFailures"]}
        first = [entry for asked in bus.asked for entry in json.loads(asked.body)["Entries"]]
        again = [one for one in records if one["dynamodb"]["SequenceNumber"] in failed]
        bus.asked.clear()
        bus.script(answer(b'{"FailedEntryCount": 0, "Entries": []}'))
        assert handler({"Records": again}, None) == {"batchItemFailures": []}
        second = [entry for asked in bus.asked for entry in json.loads(asked.body)["Entries"]]
        publish().bus._client.close()  # type: ignore[union-attr]
        assert all(len(json.loads(asked.body)["Entries"]) <= 2 and len(asked.body) < 2_000 for asked in bus.asked)
    assert first == second and {"AccountVerified", "TokenIssued"} <= {one["DetailType"] for one in first}
    assert {(one["EventBusName"], one["Source"]) for one in first} == {("sluice-events", "sluice")}
    assert bus.asked[0].headers["x-amz-target"] == "AWSEvents.PutEvents"


def test_the_file_of_events_is_bounded(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buses, "MAX_FILE_BYTES", 1_000)
    bus = buses.EventFile(machine.folder)
    for place in range(30):
        bus.publish([AccountVerified(id=f"evt_{place}", occurred_at="2026-11-30T12:00:00Z", account_id="usr_1")])
    files = [machine.folder / name for name in (buses.FILE, buses.BEFORE)]
    assert all(file.stat().st_size < 1_300 for file in files if file.exists())
    assert "evt_29" in "".join(file.read_text() for file in files if file.exists())


def test_a_change_without_an_event_costs_nothing(person: Person, machine: Machine) -> None:
    published: list[Any] = []

    class Bus:
        def publish(self, events: Any) -> None:
            published.append(events)

    unmarked = Change(
        "1", "tokens", {"account_id": "usr_1", "token_id": "tok_1"}, {"expires_ms": 1}, {"expires_ms": 1}, 0, False
    )
    assert Publish(Bus(), stores.mail_store(), stores.webhook_store(), lambda *_: None)([unmarked]) == []
    assert published == []
