"""The admin function called with API Gateway's events."""

import json

from functions.admin import app as admin
from sluice.http.on_lambda import wsgi
from tests.integration.accounts.test_lambda import event
from tests.integration.operations.town import Town


def test_an_admin_suspends_through_lambda(town: Town) -> None:
    boss, person = town.admin(), town.newcomer()
    try:
        path = f"/admin/users/{person.account_id}/suspend"
        refused = admin.handler(event("POST", path, Authorization=person.session["Authorization"]), None)
        assert refused["statusCode"] == 403
        done = admin.handler(event("POST", path, Authorization=boss.session["Authorization"]), None)
        assert (done["statusCode"], json.loads(done["body"])["status"]) == (200, "suspended")
        asked = admin.handler(event("GET", "/admin/audit", Authorization=boss.session["Authorization"]), None)
        assert json.loads(asked["body"])["data"][0]["client"] == "192.0.2.77"
    finally:
        wsgi.cache_clear()
    assert person.ask().status_code == 403
