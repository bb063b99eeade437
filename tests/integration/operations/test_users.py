"""`/admin/users…`: permissions, search, and changes that take effect with the next request. On a real store."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast

import pytest

from sluice.domain.periods import period_of
from tests.integration.operations.town import Citizen, Town, long_answer

LIMITS = {"rpm": 60, "tpm": 40_000, "concurrency": 4, "monthly_tokens": 1_000_000, "monthly_usd": None}
CALLS: list[tuple[str, str, Any]] = [
    ("GET", "/admin/users", None),
    ("GET", "/admin/users/{id}", None),
    ("DELETE", "/admin/users/{id}", None),
    ("POST", "/admin/users/{id}/suspend", None),
    ("POST", "/admin/users/{id}/restore", None),
    ("PUT", "/admin/users/{id}/limits", {"rpm": 1}),
    ("POST", "/admin/users/{id}/plan", {"plan": "pro"}),
    ("GET", "/admin/invitations", None),
    ("GET", "/admin/usage", None),
    ("GET", "/admin/usage.csv", None),
    ("GET", "/admin/audit", None),
]


def do(admin: Citizen, what: str, person: Citizen) -> int:
    return admin.call("POST", f"/admin/users/{person.account_id}/{what}").status_code


def limit(admin: Citizen, person: Citizen, **limits: Any) -> Any:
    return admin.call("PUT", f"/admin/users/{person.account_id}/limits", limits)


def listed(admin: Citizen, query: str = "", limit: int = 50) -> list[list[dict[str, Any]]]:
    """Every page."""
    pages, cursor = [], ""
    while True:
        answer = admin.call("GET", f"/admin/users?query={query}&limit={limit}&cursor={cursor}")
        assert answer.status_code == 200, answer.json
        pages.append(answer.json["data"])
        cursor = answer.json["next_cursor"]
        if cursor is None:
            return pages


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_only_an_admin_is_admitted(town: Town, method: str, path: str, body: Any) -> None:
    person, other = town.newcomer(), town.newcomer()
    path = path.replace("{id}", other.account_id)
    answer = person.call(method, path, body)
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    for headers in ({}, town.admin().api_token):
        answer = person.client.open(path, method=method, json=body, headers=headers)
        assert (answer.status_code, answer.json["code"]) == (401, "not_authenticated")
    assert other.ask().status_code == 200


def test_a_former_admin_is_refused_at_the_next_call(town: Town) -> None:
    from sluice.wiring import stores

    admin = town.admin()
    assert admin.call("GET", "/admin/users").status_code == 200
    stores.account_store().set_role(admin.account_id, "user")
    assert admin.call("GET", "/admin/users").status_code == 403


@pytest.mark.parametrize(("method", "path", "body"), [call for call in CALLS if "{id}" in call[1]])
@pytest.mark.parametrize("user_id", ["usr_0000000000000000", "deletions", "email%23ann@example.com", "x" * 3000])
def test_an_unknown_user_is_404(town: Town, method: str, path: str, body: Any, user_id: str) -> None:
    town.newcomer(email="ann@example.com")
    answer = town.admin().call(method, path.replace("{id}", user_id), body)
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_users_are_found_by_address_name_and_id(town: Town) -> None:
    admin = town.newcomer(email="boss@example.org", role="admin")
    ann, joann = town.newcomer(email="Ann@Example.com"), town.newcomer(email="joann@example.com")
    for query, wanted in [
        ("", [admin, ann, joann]),
        ("ann@", [ann, joann]),
        ("JOANN", [joann]),
        ("example.org", [admin]),
        (ann.account_id, [ann]),
        ("Ann", [admin, ann, joann]),
        ("nobody", []),
    ]:
        found = [user["id"] for page in listed(admin, query) for user in page]
        assert sorted(found) == sorted(one.account_id for one in wanted), query


def test_a_row_has_the_user_and_their_status(town: Town) -> None:
    admin = town.admin()
    (row,) = listed(admin, admin.account_id)[0]
    assert set(row) == {"id", "email", "name", "role", "created_at", "status"}
    assert (row["email"], row["role"], row["status"]) == (admin.email, "admin", "active")


def test_pages_list_every_user_once(town: Town) -> None:
    admin = town.admin()
    people = {town.world.account().account_id for _ in range(8)} | {admin.account_id}
    pages = listed(admin, limit=2)
    assert all(len(page) <= 2 for page in pages)
    found = [user["id"] for page in pages for user in page]
    assert len(found) == len(set(found)) and set(found) == people


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "cursor=zzz", "cursor=AAAA", "query=" + "x" * 300]
)
def test_an_invalid_page_query_is_422(town: Town, query: str) -> None:
    answer = town.admin().call("GET", "/admin/users?" + query)
    assert (answer.status_code, answer.json["code"]) == (422, "validation_error")


def test_one_users_details_have_limits_usage_and_status(town: Town) -> None:
    admin, person = town.admin(), town.newcomer()
    person.ask()
    shown = admin.call("GET", f"/admin/users/{person.account_id}").json
    assert shown["limits"] == LIMITS
    assert (shown["usage"]["tokens"], shown["usage"]["requests"]) == (12, 1)
    assert (shown["status"], shown["store_content"]) == ("active", True) and shown["verified_at"]
    assert "password" not in str(shown)


def test_suspending_and_restoring_take_effect_everywhere_with_the_next_request(town: Town) -> None:
    admin, person = town.admin(), town.newcomer()
    answer = admin.call("POST", f"/admin/users/{person.account_id}/suspend")
    assert (answer.status_code, answer.json["status"]) == (200, "suspended")
    refused = person.ask()
    assert (refused.status_code, refused.json["error"]["code"]) == (403, "account_suspended")
    models = person.client.get("/v1/models", headers=person.api_token)
    assert (models.status_code, models.json["error"]["code"]) == (403, "account_suspended")
    for method, path in (("GET", "/account"), ("GET", "/tokens"), ("DELETE", "/account"), ("GET", "/chats")):
        answer = person.call(method, path)
        assert (answer.status_code, answer.json["code"]) == (403, "account_suspended"), path
    login = town.log_in(person.email)
    assert (login.status_code, login.json["code"]) == (403, "account_suspended")

    assert admin.call("POST", f"/admin/users/{person.account_id}/restore").json["status"] == "active"
    assert person.ask().status_code == 200 and person.call("GET", "/account").status_code == 200
    assert town.log_in(person.email).status_code == 200


def test_suspending_and_restoring_may_be_repeated(town: Town) -> None:
    admin, person = town.admin(), town.newcomer()
    assert [do(admin, "suspend", person) for _ in range(2)] == [200, 200]
    assert [do(admin, "restore", person) for _ in range(2)] == [200, 200]
    assert person.ask().status_code == 200


def test_restoring_does_not_verify_a_pending_address(town: Town) -> None:
    admin, pending = town.admin(), town.world.account(status="pending")
    path = f"/admin/users/{pending.account_id}"
    assert admin.call("POST", path + "/suspend").json["status"] == "suspended"
    assert admin.call("POST", path + "/restore").json["status"] == "pending"
    assert town.log_in(pending.email).json["code"] == "email_not_verified"


def test_an_admin_can_suspend_other_admins_but_not_themselves(town: Town) -> None:
    admin, other = town.admin(), town.admin()
    answer = admin.call("POST", f"/admin/users/{admin.account_id}/suspend")
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    assert do(admin, "suspend", other) == 200
    assert other.call("GET", "/admin/users").json["code"] == "account_suspended"


def test_a_running_stream_of_a_suspended_account_ends_at_its_next_checkpoint(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sluice.wiring import gateway as wired
    from sluice.wiring import stores

    admin, person = town.admin(), town.newcomer()
    town.upstream.steps, clock = long_answer(lambda: do(admin, "suspend", person), 4)  # type: ignore[assignment]
    gateway = replace(wired.gateway(), clock=clock)
    monkeypatch.setattr(wired, "gateway", lambda: gateway)
    answer = person.ask(stream=True).text
    assert '"account_suspended"' in answer and "[DONE]" not in answer
    assert '"content":"a"' in answer and '"content":"c"' not in answer
    (record,) = town.everything("ledger")
    assert (record["status"], record["completion_tokens"]) == (403, 2)
    grant = stores.hot_store().grant(person.account_id)
    assert grant is not None and grant.leases == {}


def test_new_limits_take_effect_with_the_next_request(town: Town) -> None:
    admin, person = town.admin(), town.newcomer()
    assert person.ask().status_code == 200
    answer = limit(admin, person, rpm=0)
    assert answer.status_code == 200
    assert answer.json["limits"] == {**LIMITS, "rpm": 0}
    assert person.ask().json["error"]["code"] == "rate_limit_exceeded"
    assert limit(admin, person, rpm=600, monthly_tokens=10**12).json["limits"]["monthly_tokens"] == 10**12
    answer = person.ask()
    assert (answer.status_code, answer.headers["x-ratelimit-limit-requests"]) == (200, "600")
    assert limit(admin, person, monthly_tokens=20).status_code == 200
    assert person.ask().json["error"]["code"] == "insufficient_quota"
    assert limit(admin, person).json["limits"] == {**LIMITS, "rpm": 600, "monthly_tokens": 20}


@pytest.mark.parametrize("value", [-1, 10**12 + 1, 1.5, "60", True, [1]])
@pytest.mark.parametrize("name", ["rpm", "tpm", "concurrency", "monthly_tokens"])
def test_an_invalid_limit_is_422_and_changes_nothing(town: Town, name: str, value: Any) -> None:
    admin, person = town.admin(), town.newcomer()
    answer = limit(admin, person, **{"rpm": 7, name: value})
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, name)
    assert admin.call("GET", f"/admin/users/{person.account_id}").json["limits"]["rpm"] == 60


def test_concurrent_changes_of_two_limits_are_both_kept(town: Town) -> None:
    admins, person = [town.admin(), town.admin()], town.newcomer()
    assert (
        limit(admins[0], person).status_code == 200
    )  # so that the process has built its store before two threads need it
    wanted: list[dict[str, int]] = [{"rpm": 1}, {"tpm": 2}]
    with ThreadPoolExecutor(2) as threads:
        statuses = list(
            threads.map(lambda pair: limit(pair[0], person, **pair[1]).status_code, zip(admins, wanted, strict=True))
        )
    assert statuses == [200, 200]
    limits = admins[0].call("GET", f"/admin/users/{person.account_id}").json["limits"]
    assert (limits["rpm"], limits["tpm"]) == (1, 2)


def test_an_account_suspended_and_deleted_at_the_same_time_ends_deleted(town: Town) -> None:
    admin, person = town.admin(), town.newcomer()
    with ThreadPoolExecutor(2) as threads:
        suspending = threads.submit(do, admin, "suspend", person)
        deleting = threads.submit(person.call, "DELETE", "/account", {"password": "correct horse battery staple"})
    assert suspending.result() in (200, 404, 409)
    assert deleting.result().status_code in (204, 403)
    if deleting.result().status_code == 204:
        assert admin.call("GET", f"/admin/users/{person.account_id}").status_code == 404
    assert person.ask().status_code in (401, 403)


def test_the_grants_of_a_page_of_accounts_are_one_read(town: Town) -> None:
    from sluice.wiring import stores

    people, store = [town.newcomer() for _ in range(3)], cast(Any, stores.hot_store())
    ids = [one.account_id for one in people]
    called, store.call = [], lambda name, request: called.append(name) or type(store).call(store, name, request)
    try:
        found = store.grants_of([*ids, "usr_none", ids[0]])
    finally:
        del store.call
    assert found == {one: store.grant(one) for one in ids} and called == ["BatchGetItem"]


def test_a_deleted_account_is_gone_at_once_and_its_address_is_free(town: Town) -> None:
    from sluice.wiring import stores
    from sluice.wiring.accounts import erasure

    admin, person = town.admin(), town.newcomer(email="ann@example.com")
    person.ask()
    used = person.call("GET", "/account").json["usage"]["tokens"]
    path = f"/admin/users/{person.account_id}"
    assert admin.call("DELETE", path).status_code == 204

    assert person.ask().status_code == 401
    assert person.call("GET", "/account").status_code == 401
    assert town.log_in(person.email).status_code == 401
    assert admin.call("GET", path).status_code == admin.call("DELETE", path).status_code == 404
    assert admin.call("GET", "/admin/users?query=ann@").json["data"] == []
    event = admin.call("GET", "/admin/audit").json["data"][0]
    assert (event["action"], event["actor"], event["target"]) == (
        "account_deleted",
        admin.account_id,
        person.account_id,
    )
    again = town.newcomer(email="ann@example.com")
    assert again.account_id != person.account_id

    began_ms = stores.account_store().deletions()[person.account_id]
    assert stores.used_quotas().get("ann@example.com", period_of(began_ms)) == used > 0
    assert erasure().finish(began_ms + 60_000) == 1
    assert stores.token_store().of_account(person.account_id) == [] and again.ask().status_code == 200


def test_an_admin_deletes_nobody_by_mistake(town: Town) -> None:
    admin = town.admin()
    answer = admin.call("DELETE", f"/admin/users/{admin.account_id}")
    assert (answer.status_code, answer.json["code"]) == (403, "forbidden")
    assert admin.ask().status_code == 200


def test_an_account_is_deleted_once_by_two_admins_at_once(town: Town) -> None:
    admins, person = [town.admin() for _ in range(2)], town.newcomer()
    with ThreadPoolExecutor(2) as pool:
        statuses = sorted(
            pool.map(lambda one: one.call("DELETE", f"/admin/users/{person.account_id}").status_code, admins)
        )
    assert statuses[0] == 204 and statuses[1] in (204, 404)
    assert town.log_in(person.email).status_code == 401


def test_users_are_sorted_across_pages(town: Town) -> None:
    admin, idle, busy, some = (town.newcomer(role=role) for role in ("admin", "user", "user", "user"))
    for person in (busy, busy, some):
        assert person.ask().status_code == 200

    def ids(sort: str, limit: int) -> list[str]:
        found, cursor = [], ""
        while cursor is not None:
            answer = admin.call("GET", f"/admin/users?sort={sort}&limit={limit}&cursor={cursor}")
            assert answer.status_code == 200, answer.json
            found += [one["id"] for one in answer.json["data"]]
            cursor = answer.json["next_cursor"]
        return found

    assert ids("tokens", 50)[:2] == ids("tokens", 1)[:2] == [busy.account_id, some.account_id]
    assert set(ids("last_seen", 3)[:2]) == {busy.account_id, some.account_id}
    for sort in ("created", "cost"):
        assert sorted(ids(sort, 1)) == sorted(one.account_id for one in (admin, idle, busy, some))
    for wrong in ("sort=name", "sort=tokens&cursor=x"):
        assert admin.call("GET", f"/admin/users?{wrong}").status_code == 422


def test_too_many_accounts_are_not_sorted(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = town.admin()
    town.newcomer()
    monkeypatch.setattr("sluice.services.operations.users.MOST_SORTED", 1)
    answer = admin.call("GET", "/admin/users?sort=created")
    assert answer.status_code == 422 and answer.json["errors"][0]["field"] == "sort"
    assert admin.call("GET", f"/admin/users?sort=created&query={admin.account_id}").status_code == 200
