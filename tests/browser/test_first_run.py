"""An empty system guides its owner to the first answer, and the guide then disappears."""

from tests.browser.conftest import NewTab
from tests.e2e.admins import make_admin
from tests.e2e.conftest import NewSystem
from tests.e2e.people import PASSWORD, ask


def test_the_owner_of_an_empty_system_is_guided_to_the_first_answer(new_system: NewSystem, new_tab: NewTab) -> None:
    system = new_system().start()
    tab = new_tab(at=system.base_url)
    tab.go("/")
    assert "Nobody has an account here yet" in tab.text
    tab.check("first-run")
    owner = make_admin(system)  # the command that the page names
    tab.go("/")
    assert "Nobody has an account here yet" not in tab.text
    tab.go("/manage")
    tab.fill(email=owner.email, password=PASSWORD).press("Log in")
    assert tab.path == "/manage" and "Your next three steps" in tab.text
    tab.check("first-steps")
    assert tab.page.locator(".steps .status").count() == 0
    tab.press("Make an API token").fill(name="laptop").press("Make the token")
    owner.api_token = tab.page.locator("textarea.secret").input_value()
    assert ask(owner, "What is the capital of France?").status_code == 200
    tab.go("/manage")
    assert tab.page.locator(".steps .status").count() == 2
