"""An invitation by clicking, where sign-up is by invitation: from the admin's form over the mail to the plan."""

import json
import subprocess
from pathlib import Path

from tests.browser.conftest import NewTab
from tests.browser.outbox import link
from tests.e2e.admins import make_admin
from tests.e2e.conftest import NewSystem
from tests.e2e.people import PASSWORD, new_address
from tests.e2e.system import ROOT, System

SETTINGS = """
[site]
contact = "ada@example.org"
sign_up = "invited"
terms_url = "https://ada.example/terms"
terms_version = "2026-11"
[[plans]]
name = "free"
default = true
[[plans]]
name = "course"
rpm = 77
"""


TERMS = "https://ada.example/terms"


def _by_command(system: System, *arguments: str) -> dict[str, object]:
    command = [str(ROOT / ".venv" / "bin" / "sluice"), "users", "invite", *arguments, "--json"]
    done = subprocess.run(command, cwd=ROOT, env=system.environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_an_invited_person_signs_up_by_the_mailed_link_and_has_the_plan(
    new_system: NewSystem, new_tab: NewTab, tmp_path: Path
) -> None:
    file = tmp_path / "sluice.toml"
    file.write_text(SETTINGS)
    system = new_system(env={"SLUICE_CONFIG": str(file)}).start()
    assert isinstance(system, System)
    base_url, address, other = system.base_url, new_address(), new_address()
    office, tab = new_tab(make_admin(system), at=base_url), new_tab(at=base_url)

    tab.go("/sign-up")
    assert tab.heading == "Sign-up is by invitation" and not tab.page.locator("main form").count()
    office.go("/manage/users")
    office.press("Invite")
    assert "No open invitations" in office.text
    office.fill(email="nobody").press("Send invitation")
    assert office.page.title().startswith("Error: ")
    office.fill(email=address)
    office.page.locator("[name=plan]").select_option("course")
    office.press("Send invitation")
    assert "The invitation is on its way" in office.text and address in office.text
    assert _by_command(system, other, "--plan", "course")["plan"] == "course"
    office.go("/manage/invitations")
    office.check("invitations")
    first = link(base_url, address, "invitation")
    row = office.page.locator("tr", has_text=address)
    row.get_by_role("button", name="Send again").click()
    office.page.wait_for_load_state()
    assert "Earlier ones no longer work" in office.text
    office.page.locator("tr", has_text=other).get_by_role("button", name="Withdraw").click()
    office.page.wait_for_load_state()
    assert "withdrawn" in office.text and other not in office.text

    tab.go(first)
    assert tab.heading == "This invitation no longer works"
    mailed = link(base_url, address, "invitation")
    assert tab.go(mailed) == 200 and tab.page.locator("[name=email]").input_value() == address
    tab.fill(password="short").press("Create account")
    assert tab.page.title().startswith("Error: ") and tab.page.locator("[name=email]").input_value() == address
    tab.check("invitation")
    tab.fill(password=PASSWORD, name="Ada").press("Create account")
    assert tab.heading == "Your account is ready"
    tab.press("Log in").fill(email=address, password=PASSWORD).press("Log in")
    assert tab.heading == "Terms of use" and tab.page.locator("main a").first.get_attribute("href") == TERMS
    tab.check("terms")
    tab.press("Accept the terms")
    assert tab.path == "/my/chats"
    tab.go("/my/account")
    assert "course" in tab.text and "77" in tab.text
    assert tab.go(mailed) == 200 and tab.heading == "Your account is ready"
    office.go("/manage/invitations")
    assert "No open invitations" in office.text
