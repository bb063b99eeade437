"""While the store is unavailable every admin call is 503 with `Retry-After`, and no change is half done."""

import pytest

from sluice.domain.accounts.audit import OPERATOR
from sluice.domain.errors import StoreUnavailable
from sluice.domain.settings.checking import check
from sluice.services.operations.admin import Actor
from sluice.wiring.settings import owners_terms
from tests.integration.operations.test_users import CALLS
from tests.integration.operations.town import Town
from tests.ports import free_port
from tests.store_clients import forget_store_clients

STORES = {
    "GET /admin/users": ("account_store", "page"),
    "DELETE /admin/users/{id}": ("account_store", "end_deletion"),
    "GET /admin/users/{id}": ("hot_store", "grant"),
    "POST /admin/users/{id}/suspend": ("grant_store", "set_standing"),
    "POST /admin/users/{id}/restore": ("grant_store", "set_standing"),
    "PUT /admin/users/{id}/limits": ("grant_store", "set_limits"),
    "POST /admin/users/{id}/plan": ("grant_store", "set_plan"),
    "GET /admin/invitations": ("account_store", "page"),
    "GET /admin/usage": ("rollup_store", "everyones"),
    "GET /admin/usage.csv": ("rollup_store", "everyones"),
    "GET /admin/audit": ("audit_log", "page"),
}


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_without_a_store_an_admin_call_is_503(
    town: Town, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: object
) -> None:

    admin, person = town.admin(), town.newcomer()
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", f"http://127.0.0.1:{free_port()}")
    forget_store_clients()
    answer = admin.call(method, path.replace("{id}", person.account_id), body)
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1 and "127.0.0.1" not in answer.text


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_a_store_that_fails_during_a_call_is_503_and_works_again_later(
    town: Town, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: object
) -> None:
    from sluice.wiring import stores

    admin, person = town.admin(), town.newcomer()
    owners_terms().change(Actor(OPERATOR), 0, check({"plans": [{"name": "pro", "default": True}]}), 1)
    which, what = STORES[f"{method} {path}"]
    path = path.replace("{id}", person.account_id)

    def away(*arguments: object, **named: object) -> None:
        raise StoreUnavailable()

    with monkeypatch.context() as broken:
        broken.setattr(getattr(stores, which)(), what, away)
        assert admin.call(method, path, body).status_code == 503
    assert admin.call(method, path, body).status_code == (204 if method == "DELETE" else 200)
