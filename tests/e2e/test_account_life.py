"""An account's whole life on the running system: an admin, a suspension, a new address, the deletion."""

import json
import subprocess
import sys

import pytest

from tests.e2e import people
from tests.e2e.people import PASSWORD, ask
from tests.e2e.place import Place
from tests.e2e.system import ROOT

pytestmark = pytest.mark.e2e


def sluice(system: Place, *arguments: str, typed: str = "") -> dict[str, object]:
    """Runs the command as an operator does beside the running system."""
    command = [sys.executable, "-c", "from infra.cli import main; main()", *arguments, "--json"]
    done = subprocess.run(
        command, cwd=ROOT, env=system.environment, input=typed, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_from_the_admin_to_the_end_of_an_account(system: Place) -> None:
    base_url, address = system.base_url, people.new_address()
    made = sluice(system, "admin", "create", address, "--password-stdin", typed=PASSWORD + "\n")
    assert made["role"] == "admin"
    owner, person = people.log_in(base_url, address), people.newcomer(base_url)
    (row,) = owner.call("GET", "/admin/users", params={"query": person.email}).json()["data"]
    assert row["status"] == "active"

    assert owner.call("POST", f"/admin/users/{row['id']}/suspend").status_code == 200
    refused = ask(person, "What is 3 + 4?")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "account_suspended")
    assert sluice(system, "users", "restore", person.email)["status"] == "active"
    assert ask(person, "What is 3 + 4?").status_code == 200

    new = people.new_address()
    answer = person.call("POST", "/auth/change-email", json={"new_email": new, "password": PASSWORD})
    assert answer.status_code == 202
    code = people.code_in(people.mails_to(base_url, new, "change_email")[0])
    assert people.post(base_url, "/auth/verify-email", {"token": code}).status_code == 200
    assert person.call("GET", "/account").json()["email"] == new
    assert new in people.mails_to(base_url, person.email, "email_changed")[0]["text"]

    held = person.call("GET", "/account/export").json()
    assert held["account"]["email"] == new and len(held["requests"]) == 1
    assert person.call("DELETE", "/account", json={"password": PASSWORD}).status_code == 204
    assert ask(person, "What is 3 + 4?").status_code == 401
    assert people.post(base_url, "/auth/login", {"email": new, "password": PASSWORD}).status_code == 401
    people.register(base_url, new)  # the old address is free again
    assert people.mails_to(base_url, new, "verify_email")
    deeds = [event["action"] for event in owner.call("GET", "/admin/audit").json()["data"]]
    assert {"account_deleted", "email_changed", "user_suspended", "user_restored", "role_changed"} <= set(deeds)
