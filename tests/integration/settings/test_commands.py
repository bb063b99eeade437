"""`sluice config` on a real store, and what the settings change in a running system."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from infra.cli import main
from infra.local import sluice_toml
from sluice.wiring.settings import owners_terms, settings_in_force
from tests.integration.operations.town import Citizen, Town

FREE = '[[plans]]\nname = "free"\ndefault = true\nrpm = {rpm}\nmonthly_tokens = 5000\n'


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "sluice.toml"
    monkeypatch.setenv("SLUICE_CONFIG", str(path))
    return path


def config(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["config", *arguments])


def edited_by(admin: Citizen, rpm: int) -> None:
    read: Any = admin.call("GET", "/admin/settings").json
    read["plans"][0]["rpm"] = rpm
    assert admin.call("PUT", "/admin/settings", read).status_code == 200


def test_file_is_applied_shown_and_applied_again_without_a_change(town: Town, file: Path) -> None:
    assert config("show").output == "# version 0, nothing is set\n"
    file.write_text("# prices come later\n" + FREE.format(rpm=10))
    done = config("apply")
    assert done.exit_code == 0, done.output
    assert "is version 1 of the settings, in force everywhere within 10 seconds" in done.output
    assert 'plans.free: - → name = "free", default = true, rpm = 10, monthly_tokens = 5000' in done.output
    assert config("show").output == "# version 1\n" + FREE.format(rpm=10)
    assert json.loads(config("show", "--json").output)["plans"][0]["rpm"] == 10
    assert "is in force already, as version 1" in config("apply").output
    (event,) = [event for event in town.everything("audit") if event["action"] == "settings_changed"]
    assert event["actor"] == "operator"


def test_wrong_file_changes_nothing(town: Town, file: Path) -> None:
    file.write_text('[site]\nnam = "x"')
    done = config("apply")
    assert done.exit_code == 1
    assert "line 2: site.nam" in done.stderr
    assert town.everything("settings") == []


def test_what_an_admin_edited_since_is_overwritten_by_force_only(town: Town, file: Path) -> None:
    admin = town.admin()
    file.write_text(FREE.format(rpm=10))
    config("apply")
    edited_by(admin, 20)
    file.write_text(FREE.format(rpm=30))
    refused = config("apply")
    assert refused.exit_code == 1
    assert "were edited since a file was applied (version 2)" in refused.stderr
    assert "plans.free: rpm = 20 → rpm = 30" in refused.stderr
    assert owners_terms().read().or_empty().plans[0].rpm == 20
    assert config("apply", "--force").exit_code == 0
    assert owners_terms().read().or_empty().plans[0].rpm == 30


def test_a_start_applies_a_changed_file_and_leaves_an_admins_edit(town: Town, file: Path) -> None:
    def start() -> list[str]:
        return list(sluice_toml.apply(file, *sluice_toml.read(file), force=False, again=False))

    file.write_text(FREE.format(rpm=10))
    assert len(start()) == 2
    assert start() == []
    edited_by(town.admin(), 20)
    assert start() == []
    assert owners_terms().read().or_empty().plans[0].rpm == 20
    file.write_text(FREE.format(rpm=30))
    with pytest.raises(sluice_toml.NotApplied, match="--force"):
        start()


def test_settings_are_edited_until_they_are_right(town: Town, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(FREE.format(rpm=10))
    config("apply")
    written = iter([FREE.format(rpm='"x"'), FREE.format(rpm=40)])
    monkeypatch.setattr("click.edit", lambda text, **_: next(written))
    done = CliRunner().invoke(main, ["config", "edit"], input="y\n")
    assert done.exit_code == 0, done.output
    assert "line 4: plans[0].rpm" in done.stderr
    assert owners_terms().read().or_empty().plans[0].rpm == 40
    monkeypatch.setattr("click.edit", lambda text, **_: text)
    assert config("edit").output == "nothing was changed\n"


def test_new_accounts_get_the_limits_of_the_default_plan(town: Town, file: Path) -> None:
    file.write_text(FREE.format(rpm=7))
    config("apply")
    settings_in_force().read()
    town.world.client.post("/auth/register", json={"email": "new@example.com", "password": "a long quiet river"})
    (grant,) = town.everything("grants")
    limits = grant.get("limits", grant)
    assert (limits["rpm"], limits["monthly_tokens"]) == (7, 5000)
    assert limits["tpm"] == 40_000  # SLUICE_DEFAULT_TPM, because the plan names none


def test_item_broken_by_hand_leaves_the_last_good_one_and_health_says_so(town: Town, file: Path) -> None:
    file.write_text(FREE.format(rpm=10))
    config("apply")
    broken = {"site": {"S": "site"}, "version": {"N": "2"}, "document": {"M": {"site": {"S": "x"}}}}
    town.store.client.put_item(TableName=town.store.prefix + "settings", Item=broken)
    admin = town.admin()
    read: Any = admin.call("GET", "/admin/settings").json
    assert (read["version"], read["plans"][0]["rpm"]) == (2, 10)
    assert "Version 2 of the settings is broken" in read["problem"]
    shown = config("show")
    assert "Version 1 is in force" in shown.stderr
    mended = admin.call("PUT", "/admin/settings", read)
    assert mended.status_code == 200
    assert (mended.json["version"], mended.json["problem"]) == (3, None)  # type: ignore[index]


def test_older_versions_expire_after_a_year_and_the_newest_never(town: Town, file: Path) -> None:
    for rpm in (10, 20):
        file.write_text(FREE.format(rpm=rpm))
        config("apply")
    first, second = sorted(town.everything("settings"), key=lambda item: item["version"])
    assert first["ttl_s"] * 1000 - second["created_ms"] > 365 * 24 * 3600 * 1000 > 0
    assert "ttl_s" not in second


def test_store_that_does_not_answer_is_said(town: Town, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(FREE.format(rpm=10))
    monkeypatch.setattr(
        "sluice.adapters.settings.DynamoSettings.newest", lambda *_: (_ for _ in ()).throw(_unavailable())
    )
    assert config("apply").exit_code == 2
    assert config("show").exit_code == 2
    assert town.admin().call("GET", "/admin/settings").status_code == 503


def _unavailable() -> Exception:
    from sluice.domain.errors import StoreUnavailable

    return StoreUnavailable()
