"""A store of an earlier version is upgraded to this version, despite crashes and concurrent writes."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from infra.migrations import record, structure
from infra.migrations.addresses import NotMigrated
from infra.migrations.run import TablesAreTheStacks, migrate, plan
from infra.migrations.steps import CURRENT, STEPS
from sluice.adapters.accounts.administered import account_from
from sluice.adapters.aws import dynamo
from sluice.adapters.aws.models import TABLES
from sluice.domain.accounts.account import parse_address
from tests.integration.infra.migrate import old_store
from tests.integration.infra.migrate.conftest import Store
from tests.rounds import rounds

WRITES = ("update_item", "put_item", "create_table", "update_table", "update_time_to_live", "transact_write_items")


class Killed(BaseException):
    """Stands for SIGKILL: no code catches it."""


class Client:
    """The real client, with a call of `before(number, call, arguments)` before each write."""

    def __init__(self, client: Any, before: Any) -> None:
        self._client, self._before, self.writes = client, before, 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name not in WRITES:
            return method

        def write(**arguments: Any) -> Any:
            self.writes += 1
            self._before(self.writes, name, arguments)
            return method(**arguments)

        return write


def without_record(dumped: dict[str, Any]) -> dict[str, Any]:
    return {table: [item for item in items if item.get("pk") != {"S": record.KEY}] for table, items in dumped.items()}


def test_newer_tables_and_indexes_are_added(old: Store) -> None:
    outcome = migrate(old.client, old.prefix)
    assert {f"index {name} of {old.prefix}{table}" for name, table in LATER_INDEXES} <= set(outcome.added)
    assert structure.missing(old.client, old.prefix) == []
    assert record.read(old.client, old.prefix) == record.Record(CURRENT, record.fingerprint())


LATER_INDEXES = (("by_account", "mails"), ("by_actor", "audit"), ("by_target", "audit"))


def test_an_added_index_finds_older_items(old: Store) -> None:
    migrate(old.client, old.prefix)
    asked = {":a": {"S": old_store.account_id()}}
    found = old.client.query(
        TableName=old.prefix + "mails",
        IndexName="by_account",
        KeyConditionExpression="account_id = :a",
        ExpressionAttributeValues=asked,
    )
    assert len(found["Items"]) == 1


def test_the_steps_change_exactly_their_attributes(old: Store) -> None:
    migrate(old.client, old.prefix)
    assert_upgraded(old)


@pytest.mark.long
def test_amazons_own_engine_accepts_every_index_and_step(old_on_referee: Store) -> None:
    migrate(old_on_referee.client, old_on_referee.prefix, page_items=2)
    assert structure.missing(old_on_referee.client, old_on_referee.prefix) == []
    assert_upgraded(old_on_referee)


def assert_upgraded(store: Store) -> None:
    after = without_record(store.dump())
    for table in old_store.old_tables():
        expected = []
        for item in table["items"]:
            plain = dynamo.values(item)
            if table["name"] in ("mails", "grants"):
                plain["schema"] = 2
                plain.pop("limits_version", None)
            if plain.get("account_id") == "":
                del plain["account_id"]
            if table["name"] in ("accounts", "grants"):
                plain = in_schema_2(plain)
            expected.append(old_store.as_text({"schema": 1, **plain}))
        got = [old_store.as_text(dynamo.values(item)) for item in after[table["name"]]]
        assert sorted(got) == sorted(expected), table["name"]


def in_schema_2(plain: dict[str, Any]) -> dict[str, Any]:
    """An item of an account after step 4. Bob's, who is not verified, end; his link keeps his password."""
    bob = next(dynamo.values(i) for i in old_store.old_items("accounts") if i.get("status") == {"S": "pending"})
    if plain["account_id"] == bob["account_id"]:
        plain["ttl_s"] = int(old_store.NEVER_S) + 7 * 24 * 3600
    if "codes" in plain:
        plain["registrations"] = {}
        if link := plain["codes"].pop("verify_email", None):
            kept = {name: plain[name] for name in ("password_hash", "name", "email")}
            times = {name: link[name] for name in ("created_ms", "expires_ms")}
            plain["registrations"] = {link["mail_id"]: kept | times}
    return plain | {"schema": 2}


FOLDED = [("straße@example.org", "strasse@example.org"), ("\ufb01ona@example.org", "fiona@example.org")]


def put_folded(store: Store, email: str, folded: str) -> None:
    """A store of version 1 with one account, `usr_a`."""
    migrate(store.client, store.prefix)
    older = {"pk": "usr_a", "account_id": "usr_a", "email": email, "email_key": folded, "name": "", "codes": {}}
    older |= {"password_hash": "h", "created_ms": 1, "role": "user", "status": "active", "store_content": True}
    owner = {"pk": "email#" + folded, "account_id": "usr_a", "mail_suppressed": "bounce"}
    for item in (older | {"session_epoch": 0, "verified_ms": 1}, owner):
        store.client.put_item(TableName=store.prefix + "accounts", Item=dynamo.item(item | {"schema": 1}))
    store.client.delete_item(TableName=store.prefix + "accounts", Key=dynamo.item({"pk": record.KEY}))


@pytest.mark.parametrize("email, folded", [*FOLDED, ("jame\u017f@example.org", "james@example.org")])
def test_an_address_under_its_folded_key_is_found_after_the_step(empty: Store, email: str, folded: str) -> None:
    put_folded(empty, email, folded)
    assert migrate(empty.client, empty.prefix).changed["4.addresses"] == 1
    keys = {dynamo.values(i)["pk"]: dynamo.values(i) for i in empty.dump()["accounts"]}
    assert set(keys) == {"usr_a", "email#" + parse_address(email).key, record.KEY}
    assert keys["email#" + parse_address(email).key]["mail_suppressed"] == "bounce"
    assert account_from(keys["usr_a"]).email_key == parse_address(email).key


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_an_address_that_a_newer_account_has_is_reported_and_nothing_is_lost(empty: Store, when: str) -> None:
    """A function of the new version registered it, before the step read the account or after."""
    (email, folded), table = FOLDED[0], empty.prefix + "accounts"
    put_folded(empty, email, folded)
    newer = {"pk": "email#" + parse_address(email).key, "account_id": "usr_b", "schema": 2}

    def register(number: int = 0, call: str = "transact_write_items", arguments: Any = None) -> None:
        if call == "transact_write_items":
            empty.client.put_item(TableName=table, Item=dynamo.item(newer))

    if when == "before":
        register()
    before = {item["pk"]["S"]: item for item in empty.dump()["accounts"]}
    with pytest.raises(NotMigrated, match=r"usr_a .* usr_b"):
        migrate(Client(empty.client, register), empty.prefix)  # type: ignore[arg-type]
    after = {item["pk"]["S"]: item for item in without_record(empty.dump())["accounts"]}
    assert after == before | {newer["pk"]: dynamo.item(newer)}
    empty.client.delete_item(TableName=table, Key=dynamo.item({"pk": newer["pk"]}))
    assert migrate(empty.client, empty.prefix).changed["4.addresses"] == 1


def test_a_step_that_is_cancelled_each_time_is_not_taken_for_done(empty: Store) -> None:
    put_folded(empty, *FOLDED[0])

    def disturb(number: int, call: str, arguments: Any) -> None:
        """A function writes to the account each time between reading and the step's write."""
        if call == "transact_write_items":
            empty.client.update_item(
                TableName=empty.prefix + "accounts",
                Key=dynamo.item({"pk": "usr_a"}),
                UpdateExpression="SET codes = :codes",
                ExpressionAttributeValues=dynamo.item({":codes": {"reset_password": {"mail_id": f"mail_{number}"}}}),
            )

    with pytest.raises(NotMigrated, match="usr_a"):
        migrate(Client(empty.client, disturb), empty.prefix)  # type: ignore[arg-type]
    assert not record.read(empty.client, empty.prefix).is_current
    assert migrate(empty.client, empty.prefix).changed["4.addresses"] == 1


def test_the_oldest_tables_get_indexes_streams_and_time_to_live(empty: Store) -> None:
    """Tables as in the first commit: mails had no index; here stream and TTL are missing too."""
    key = [{"AttributeName": "mail_id", "KeyType": "HASH"}]
    attributes = [{"AttributeName": "mail_id", "AttributeType": "S"}]
    name = empty.prefix + "mails"
    empty.client.create_table(
        TableName=name, BillingMode="PAY_PER_REQUEST", KeySchema=key, AttributeDefinitions=attributes
    )
    outcome = migrate(empty.client, empty.prefix)
    wanted = ["index unsent of", "index by_account of", "stream of", "time to live of"]
    assert [one for one in outcome.added if one.endswith(name) and "table" not in one] == [
        f"{what} {name}" for what in wanted
    ]
    assert structure.missing(empty.client, empty.prefix) == []


def test_a_new_store_is_created_and_current(empty: Store) -> None:
    outcome = migrate(empty.client, empty.prefix)
    assert outcome.is_new and len(outcome.added_tables) == len(TABLES) and outcome.items == 0
    assert record.read(empty.client, empty.prefix).is_current


def test_a_dry_run_writes_nothing_and_lists_what_the_run_does(old: Store) -> None:
    before = old.dump()

    def never(number: int, call: str, arguments: Any) -> None:
        raise AssertionError(f"a dry run called {call}")

    told = plan(Client(old.client, never), old.prefix)  # type: ignore[arg-type]
    assert old.dump() == before
    did = migrate(old.client, old.prefix)
    assert (told.from_version, told.added) == (did.from_version, did.added)
    # Two steps change one item in turn; the plan sees it before both and counts it only for the first.
    assert told.changed == did.changed
    assert did.items > 4


def test_a_second_run_finds_nothing_to_do(old: Store) -> None:
    migrate(old.client, old.prefix)
    before = old.dump()
    outcome = migrate(old.client, old.prefix)
    assert (outcome.added, outcome.changed, old.dump()) == ([], {}, before)


def test_a_run_killed_before_any_write_is_completed_by_the_next_run(empty: Store) -> None:
    """Killed before each write in turn (in `make test` each fifth), also amid scans, because a page has one item."""
    whole = Store(empty.url, empty.prefix + "whole-", empty.client)
    old_store.build(whole.client, whole.prefix)
    counting = Client(whole.client, lambda *_: None)
    migrate(counting, whole.prefix, page_items=1)  # type: ignore[arg-type]
    expected = whole.dump()
    assert counting.writes > 20

    for last in (*range(1, counting.writes, rounds(1, 5)), counting.writes):
        cut = Store(empty.url, f"{empty.prefix}cut{last}-", empty.client)
        old_store.build(cut.client, cut.prefix)

        def kill(number: int, call: str, arguments: Any, last: int = last) -> None:
            if number == last:
                raise Killed

        with pytest.raises(Killed):
            migrate(Client(cut.client, kill), cut.prefix, page_items=1)  # type: ignore[arg-type]
        migrate(cut.client, cut.prefix, page_items=1)
        assert cut.dump() == expected, f"killed before write {last}"


def test_a_killed_run_continues_where_it_stopped(old: Store) -> None:
    for place in range(30):
        old.client.put_item(TableName=old.prefix + "throttles", Item=dynamo.item({"throttle_key": f"k{place}"}))

    def kill(number: int, call: str, arguments: Any) -> None:
        if arguments.get("Key", {}).get("throttle_key"):
            touched.append(arguments["Key"]["throttle_key"]["S"])
            if len(touched) == 12:
                raise Killed

    touched: list[str] = []
    with pytest.raises(Killed):
        migrate(Client(old.client, kill), old.prefix, page_items=5)  # type: ignore[arg-type]
    at = record.read(old.client, old.prefix)
    assert "2.limits-by-value" in at.done and "3.throttles" in at.progress
    outcome = migrate(old.client, old.prefix, page_items=5)
    assert outcome.changed["3.throttles"] == 31 - 11
    assert "2.mails" not in outcome.changed


def test_two_concurrent_runs_do_the_same_as_one(old: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda _: migrate(old.client, old.prefix, page_items=1), range(4)))
    assert record.read(old.client, old.prefix).is_current
    assert plan(old.client, old.prefix).changed == {}
    changed = sum(outcome.changed.get("2.limits-by-value", 0) for outcome in outcomes)
    assert changed == len(old_store.old_items("grants"))  # each step was done by one of the two runs


def test_a_concurrent_write_of_a_function_is_kept(old: Store) -> None:
    """A function writes to an item between the scan and the step's change; both changes are kept."""

    def beside(number: int, call: str, arguments: Any) -> None:
        if call == "update_item" and arguments["TableName"].endswith("grants"):
            old.client.update_item(
                TableName=arguments["TableName"],
                Key=arguments["Key"],
                UpdateExpression="ADD period_tokens :more",
                ExpressionAttributeValues={":more": {"N": "700"}},
            )

    before = {i["account_id"]["S"]: int(i["period_tokens"]["N"]) for i in old_store.old_items("grants")}
    migrate(Client(old.client, beside), old.prefix)  # type: ignore[arg-type]
    for item in old.dump()["grants"]:
        plain = dynamo.values(item)
        assert plain["period_tokens"] == before[plain["account_id"]] + 700
        assert plain["schema"] == 2 and "limits_version" not in plain


def test_an_item_deleted_during_the_run_stays_deleted(old: Store) -> None:
    def beside(number: int, call: str, arguments: Any) -> None:
        if call == "transact_write_items":
            arguments = arguments["TransactItems"][0]["Update"]
        if "Key" in arguments:
            old.client.delete_item(TableName=arguments["TableName"], Key=arguments["Key"])

    outcome = migrate(Client(old.client, beside), old.prefix)  # type: ignore[arg-type]
    assert outcome.items == 0
    assert old.dump()["grants"] == old.dump()["throttles"] == []


def test_a_newer_store_is_refused_and_not_changed(old: Store) -> None:
    migrate(old.client, old.prefix)
    record.write(old.client, old.prefix, record.Record(CURRENT + 1))
    before = old.dump()
    for attempt in (migrate, plan):
        with pytest.raises(record.NewerStore, match=f"schema is {CURRENT + 1}, this version knows {CURRENT}"):
            attempt(old.client, old.prefix)
    assert old.dump() == before


def test_an_older_run_does_not_overwrite_a_newer_versions_record(old: Store) -> None:
    def overtaken(number: int, call: str, arguments: Any) -> None:
        if call == "put_item" and not told:
            told.append(call)
            record.write(old.client, old.prefix, record.Record(CURRENT + 1))

    told: list[str] = []
    with pytest.raises(record.NewerStore):
        migrate(Client(old.client, overtaken), old.prefix)  # type: ignore[arg-type]
    assert record.read(old.client, old.prefix).version == CURRENT + 1


def test_tables_that_belong_to_a_stack_are_not_changed(old: Store) -> None:
    before = old.dump()
    with pytest.raises(TablesAreTheStacks, match="by_account"):
        migrate(old.client, old.prefix, tables=False)
    assert old.dump() == before


def test_a_table_of_our_name_with_another_key_is_refused(empty: Store) -> None:
    empty.client.create_table(
        TableName=empty.prefix + "audit",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "somebody", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "somebody", "AttributeType": "S"}],
    )
    with pytest.raises(structure.WrongTable, match="audit"):
        migrate(empty.client, empty.prefix)


def test_steps_are_in_order_and_have_unique_names() -> None:
    assert [step.version for step in STEPS] == sorted(step.version for step in STEPS)
    assert len({step.key for step in STEPS}) == len(STEPS)
    assert {step.table for step in STEPS} <= {table.Meta.table_name for table in TABLES}
