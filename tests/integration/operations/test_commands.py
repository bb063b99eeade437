"""`sluice admin|users|tokens|usage`: the admin's commands on a real store."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from infra.cli import main
from tests.conftest import aws_environment
from tests.integration.accounts.world import PASSWORD, forget_everything
from tests.integration.operations.town import Town
from tests.ports import free_port


def sluice(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(main, arguments, input=typed)


def said(*arguments: str, typed: str = "") -> Any:
    done = sluice(*arguments, "--json", typed=typed)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_first_admin_is_created_and_can_log_in(town: Town) -> None:
    made = said("admin", "create", "Boss@Example.com", "--password-stdin", typed="a long quiet river\n")
    assert (made["email"], made["role"], made["status"]) == ("Boss@example.com", "admin", "active")
    answer = town.log_in("boss@example.com", "a long quiet river")
    assert answer.status_code == 200 and answer.json["user"]["role"] == "admin"
    headers = {"Authorization": f"Bearer {answer.json['session']['token']}"}
    assert town.world.client.get("/admin/users", headers=headers).status_code == 200
    assert town.mails_to("Boss@example.com") == []
    (event,) = [event for event in town.everything("audit") if event["action"] == "role_changed"]
    assert (event["actor"], event["target"], event["after"]) == ("operator", made["id"], {"role": "admin"})


def test_the_password_is_asked_for_twice_and_never_shown(town: Town) -> None:
    done = sluice("admin", "create", "boss@example.com", typed="a long quiet river\na long quiet river\n")
    assert done.exit_code == 0 and "a long quiet river" not in done.output
    assert town.log_in("boss@example.com", "a long quiet river").status_code == 200


def test_an_existing_account_becomes_an_admin_and_keeps_its_password(town: Town) -> None:
    person = town.newcomer()
    assert person.call("GET", "/admin/users").status_code == 403
    assert said("admin", "create", person.email)["id"] == person.account_id
    assert person.call("GET", "/admin/users").status_code == 200
    assert town.log_in(person.email, PASSWORD).status_code == 200


def test_an_account_with_an_unverified_address_cannot_become_an_admin(town: Town) -> None:
    account = town.world.account(status="pending")
    done = sluice("admin", "create", account.email)
    assert done.exit_code == 1 and "pending" in done.stderr
    assert all(item["role"] == "user" for item in town.everything("accounts") if "role" in item)


@pytest.mark.parametrize(
    ("email", "password"), [("nobody", "a long quiet river"), ("a@example.com", "short"), ("a@example.com", "")]
)
def test_an_invalid_address_or_password_is_refused_with_an_explanation(town: Town, email: str, password: str) -> None:
    done = sluice("admin", "create", email, "--password-stdin", typed=password + "\n")
    assert done.exit_code == 1 and done.stderr.startswith("sluice: ") and "Traceback" not in done.output
    assert town.everything("accounts") == []


def test_users_are_listed_and_searched(town: Town) -> None:
    ann, bob = town.world.account("ann@example.com"), town.world.account("bob@example.com")
    assert [row["id"] for row in said("users", "list")["data"]] == [ann.account_id, bob.account_id]
    assert [row["id"] for row in said("users", "list", "--query", "BOB")["data"]] == [bob.account_id]
    assert "ann@example.com" in sluice("users", "list").stdout


def test_a_user_is_shown_by_id_and_by_address(town: Town) -> None:
    account = town.world.account()
    shown = said("users", "show", account.account_id)
    assert shown == said("users", "show", account.email.upper()) and shown["limits"]["rpm"] == 60
    assert account.email in sluice("users", "show", account.email).stdout


def test_suspending_and_restoring_by_command_take_effect_at_once(town: Town) -> None:
    person = town.newcomer()
    assert said("users", "suspend", person.email)["status"] == "suspended"
    assert person.ask().status_code == 403
    assert said("users", "restore", person.email)["status"] == "active"
    assert person.ask().status_code == 200
    deeds = {(event["action"], event["actor"]) for event in town.everything("audit") if event["actor"] == "operator"}
    assert deeds == {("user_suspended", "operator"), ("user_restored", "operator")}


def test_each_limit_can_be_changed_alone(town: Town) -> None:
    person = town.newcomer()
    assert said("users", "limits", person.email, "--rpm", "0")["limits"]["rpm"] == 0
    assert person.ask().status_code == 429
    after = said("users", "limits", person.account_id, "--rpm", "9", "--monthly-tokens", "7")["limits"]
    assert after == {"rpm": 9, "tpm": 40_000, "concurrency": 4, "monthly_tokens": 7, "monthly_usd": None}
    assert sluice("users", "limits", person.email, "--tpm", "-1").exit_code == 2


def test_granting_and_removing_a_role_are_in_the_audit_log(town: Town) -> None:
    from sluice.wiring import stores

    person = town.newcomer()
    assert said("users", "role", person.email, "admin")["role"] == "admin"
    assert person.call("GET", "/admin/users").status_code == 200
    assert said("users", "role", person.account_id, "user")["role"] == "user"
    assert person.call("GET", "/admin/users").status_code == 403
    roles = [dict(one.after)["role"] for one in stores.audit_log().naming(person.account_id) if "role" in one.after]
    assert roles == ["admin", "user"]
    pending = town.world.account(status="pending")
    assert sluice("users", "role", pending.email, "admin").exit_code == 1
    assert sluice("users", "role", person.email, "owner").exit_code == 2


def test_tokens_are_listed_without_the_tokens_themselves(town: Town) -> None:
    person = town.newcomer()
    (row,) = said("tokens", "list", person.email)["data"]
    assert (row["id"], row["status"], row["name"]) == (person.token_id, "active", "laptop")
    done = sluice("tokens", "list", person.email)
    assert person.token_id in done.stdout and person.api_token["Authorization"].rpartition(".")[2] not in done.stdout


def test_usage_of_one_account_is_exact_and_of_all_comes_from_roll_ups(town: Town) -> None:
    from sluice.wiring import stores

    person = town.newcomer()
    person.ask()
    assert said("usage", "show", person.email)["total"]["requests"] == 1
    (record,) = stores.ledger_reader().everything(person.account_id)
    stores.rollup_store().fold([record], record.created_ms)
    everyone = said("usage", "show", "--group-by", "account")
    assert [row["key"] for row in everyone["data"]] == [person.account_id] and everyone["total"]["prompt_tokens"] == 10
    assert "total" in sluice("usage", "show").stdout
    assert sluice("usage", "show", person.email, "--group-by", "account").exit_code == 2
    assert sluice("usage", "show", "--from", "yesterday").exit_code == 1


@pytest.mark.parametrize("command", ["show", "suspend", "restore", "limits"])
def test_an_unknown_user_is_an_error_with_an_explanation(town: Town, command: str) -> None:
    for user in ("nobody@example.com", "usr_0000000000000000", "who"):
        done = sluice("users", command, user)
        assert done.exit_code == 1 and done.stderr.startswith("sluice: ") and "Traceback" not in done.output


def test_without_a_store_the_commands_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws_environment(f"http://127.0.0.1:{free_port()}").items():
        monkeypatch.setenv(name, value)
    forget_everything()
    for arguments in (
        ["users", "list"],
        ["users", "show", "a@example.com"],
        ["usage", "show"],
        ["admin", "create", "a@b.de"],
    ):
        done = sluice(*arguments)
        assert done.exit_code == 2 and "the store does not answer" in done.stderr, arguments
    forget_everything()
