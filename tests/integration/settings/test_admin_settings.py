"""`GET|PUT /admin/settings` and the admin's page: written only on the version that was read, and audited."""

import html
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sluice.domain.accounts.audit import OPERATOR
from sluice.domain.settings.toml import parse
from sluice.services.operations.admin import Actor
from sluice.wiring.settings import owners_terms, settings_in_force
from tests.integration.operations.town import Citizen, Town

PLAN = {"name": "free", "default": True, "rpm": 60}


def put(admin: Citizen, version: int, **tables: Any) -> Any:
    return admin.call("PUT", "/admin/settings", {"version": version, **tables})


def test_settings_are_read_changed_and_read_again(town: Town) -> None:
    admin = town.admin()
    empty = admin.call("GET", "/admin/settings").json
    assert empty is not None
    assert (empty["version"], empty["models"], empty["problem"]) == (0, [], None)
    model = {"id": "demo", "prompt_usd": "0.1"}
    made = put(admin, 0, site={"name": "Ada's models"}, models=[model], plans=[PLAN])
    assert made.status_code == 200
    assert made.json["version"] == 1
    assert made.json["models"][0]["prompt_usd"] == "0.10"
    assert admin.call("GET", "/admin/settings").json == made.json


def test_what_was_read_can_be_written_back_and_changes_nothing(town: Town) -> None:
    admin = town.admin()
    made = put(admin, 0, plans=[PLAN]).json
    assert admin.call("PUT", "/admin/settings", made).json == made
    assert len(town.everything("settings")) == 1


def test_a_stale_version_is_409_that_says_what_was_changed(town: Town) -> None:
    ada, bob = town.admin(), town.admin()
    put(ada, 0, plans=[PLAN])
    assert put(ada, 1, plans=[PLAN | {"rpm": 30}]).status_code == 200
    late = put(bob, 1, plans=[PLAN | {"rpm": 600}])
    assert (late.status_code, late.json["code"]) == (409, "conflict")
    assert "version 2 (plans.free: rpm = 60 → rpm = 30)" in late.json["detail"]
    assert bob.call("GET", "/admin/settings").json["plans"][0]["rpm"] == 30  # type: ignore[index]


def test_of_many_admins_who_save_at_once_one_wins(town: Town) -> None:
    admins = [town.admin() for _ in range(4)]
    put(admins[0], 0, plans=[PLAN])
    with ThreadPoolExecutor(8) as pool:
        tries = [pool.submit(put, admins[n % 4], 1, plans=[PLAN | {"rpm": n + 1}]) for n in range(16)]
    answers = [each.result() for each in tries]
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 15
    (winner,) = [answer for answer in answers if answer.status_code == 200]
    assert admins[0].call("GET", "/admin/settings").json == winner.json
    changes = [event for event in town.everything("audit") if event["action"] == "settings_changed"]
    assert len(changes) == 2


def test_every_change_is_one_audit_event_with_before_and_after(town: Town) -> None:
    admin = town.admin()
    put(admin, 0, models=[{"id": "demo", "prompt_usd": "0.10"}])
    put(admin, 1, models=[{"id": "demo", "prompt_usd": "0.20"}], plans=[PLAN])
    put(admin, 0, models=[])  # refused
    found = admin.call("GET", "/admin/audit").json
    assert found is not None
    newest, first = [event for event in found["data"] if event["action"] == "settings_changed"]
    assert first["actor"] == newest["actor"] == admin.account_id
    assert newest["before"] == {"version": 1, "models.demo": 'prompt_usd = "0.10"', "plans.free": "-"}
    assert newest["after"] == {
        "version": 2,
        "models.demo": 'prompt_usd = "0.20"',
        "plans.free": 'name = "free", default = true, rpm = 60',
    }


@pytest.mark.parametrize(
    ("tables", "field", "said"),
    [
        ({"plans": [PLAN | {"rpm": "60"}]}, "plans.0.rpm", "is no whole number"),
        ({"models": [{"id": "a", "prompt_usd": "free"}]}, "models.0.prompt_usd", "is no amount of dollars"),
        ({"models": [{"id": "a"}, {"id": "a"}]}, "models.1.id", "is used already, by models[0].id"),
        ({"plan": [PLAN]}, "plan", "Did you mean plans?"),
        ({"plans": [PLAN | {"models": ["a"]}]}, "plans.0.models", "is no model of this file"),
        ({"upstreams": [{"name": "a", "kind": "engine", "key": "sk-1"}]}, "upstreams.0.key", "where the key is"),
        ({"site": {"name": "x" * 201}}, "site.name", "Write 200 characters at most."),
    ],
)
def test_wrong_settings_are_422_and_change_nothing(town: Town, tables: Any, field: str, said: str) -> None:
    admin = town.admin()
    refused = put(admin, 0, **tables)
    assert refused.status_code == 422
    (problem,) = refused.json["errors"]
    assert problem["field"] == field
    assert said in problem["message"]
    assert town.everything("settings") == []


@pytest.mark.parametrize("version", [None, "1", -1, True, 1.5])
def test_version_is_a_number(town: Town, version: Any) -> None:
    assert town.admin().call("PUT", "/admin/settings", {"version": version}).status_code == 422


def test_settings_too_long_to_store_are_422(town: Town) -> None:
    models = [{"id": f"{n}{'x' * 240}", "aliases": [f"{n}a{'x' * 240}", f"{n}b{'x' * 240}"]} for n in range(150)]
    assert put(town.admin(), 0, models=models).status_code == 422


def test_only_admins_read_and_change_them(town: Town) -> None:
    member = town.newcomer()
    assert member.call("GET", "/admin/settings").status_code == 403
    assert put(member, 0).status_code == 403
    assert town.world.client.get("/admin/settings").status_code == 401
    assert town.world.client.put("/admin/settings", json={"version": 0}).status_code == 401


def test_an_admin_cannot_send_a_key_of_the_server_elsewhere(town: Town) -> None:
    text = '[[upstreams]]\nname = "cloud"\nkind = "openai"\nurl = "https://api.example.com/v1"\nkey = "env:CLOUD_KEY"'
    owners_terms().change(Actor(OPERATOR), 0, parse(text), 1)
    admin = town.admin()
    read = admin.call("GET", "/admin/settings").json
    assert read is not None
    inside = {**read, "webhooks": {"allow_private": True}}
    assert admin.call("PUT", "/admin/settings", inside).status_code == 403
    read["upstreams"][0]["url"] = "https://evil.example/v1"
    assert admin.call("PUT", "/admin/settings", read).status_code == 403
    read["upstreams"][0]["url"] = "https://api.example.com/v1"
    assert admin.call("PUT", "/admin/settings", read | {"plans": [PLAN]}).status_code == 200


# --- the page


def form_of(page: str) -> dict[str, str]:
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page))
    found = re.search(r'<textarea id="field-text"[^>]*>\n(.*?)</textarea>', page, re.DOTALL)
    assert found
    return {**hidden, "text": html.unescape(found[1])}


def test_page_saves_what_is_written_and_keeps_upstreams(town: Town) -> None:
    owners_terms().change(Actor(OPERATOR), 0, parse('[[upstreams]]\nname = "local"\nkind = "engine"'), 1)
    page = Page(town)
    form = page.form()
    assert "upstreams" not in form["text"]
    text = '[[models]]\nid = "demo"\nupstreams = ["local:demo"]\nprompt_usd = "0.10"\n'
    saved = page.post(form | {"text": text})
    assert saved.status_code == 303
    now = owners_terms().read()
    assert (now.version, now.or_empty().models[0].prompt_usd) == (2, "0.10")
    assert now.or_empty().upstreams[0].name == "local"
    assert page.form()["text"] == text


def test_page_without_settings_shows_an_example_that_is_right(town: Town) -> None:
    page = Page(town)
    example = page.form()["text"]
    assert page.post(page.form()).status_code == 303, "as it stands, it says nothing"
    lines = [line.removeprefix("# ") for line in example.splitlines()[1:]]
    assert parse("\n".join(line for line in lines if line != "#")).models[0].id == "assistant"


def test_page_names_line_key_and_remedy_and_keeps_the_text(town: Town) -> None:
    page = Page(town)
    wrong = page.post(page.form() | {"text": '[[plans]]\nname = "free"\nrmp = 60'})
    assert wrong.status_code == 422
    assert "line 3: plans[0].rmp: is not known here. Did you mean rpm?" in wrong.text
    assert "rmp = 60" in wrong.text


def test_page_that_is_too_old_is_refused_with_what_was_changed(town: Town) -> None:
    page = Page(town)
    form = page.form()
    put(page.admin, 0, plans=[PLAN])
    late = page.post(form | {"text": '[site]\nname = "B"'})
    assert late.status_code == 409
    assert "plans.free" in late.text
    assert "name = &#34;B&#34;" in late.text
    assert owners_terms().read().version == 1


class Page:
    def __init__(self, town: Town) -> None:
        self.admin = town.admin()
        self._client = town.world.app.test_client()
        secret = self.admin.session["Authorization"].removeprefix("Bearer ")
        self._client.set_cookie("sluice_session", secret)

    def form(self) -> dict[str, str]:
        return form_of(self._client.get("/manage/settings").text)

    def post(self, form: dict[str, str]) -> Any:
        return self._client.post("/manage/settings", data=form, headers={"Sec-Fetch-Site": "same-origin"})


@pytest.mark.parametrize(("method", "path"), [("GET", "/chats"), ("POST", "/auth/verify-email"), ("GET", "/account")])
def test_a_page_of_an_origin_that_the_owner_lists_may_read_each_functions_answers(
    town: Town, method: str, path: str
) -> None:
    admin = town.admin()
    put(admin, 0, site={"allowed_origins": ["https://app.example"]})
    for origin, allowed in (("https://app.example", "https://app.example"), ("https://other.example", None)):
        settings_in_force.cache_clear()  # as in a process of its own, which has not read them yet
        answer = admin.client.open(path, method=method, json={}, headers=admin.session | {"Origin": origin})
        assert answer.status_code in (200, 422)
        assert answer.headers.get("Access-Control-Allow-Origin") == allowed
