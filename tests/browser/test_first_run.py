"""An empty system guides its owner to the first answer, and the guide then disappears."""

import subprocess

from tests.browser.conftest import NewTab
from tests.e2e import people
from tests.e2e.conftest import NewSystem
from tests.e2e.people import PASSWORD, ask
from tests.e2e.place import own_environment
from tests.e2e.system import ROOT


def test_the_owner_of_an_empty_system_is_guided_to_the_first_answer(new_system: NewSystem, new_tab: NewTab) -> None:
    system = new_system().start()
    tab = new_tab(at=system.base_url)
    tab.go("/")
    assert "Nobody has an account here yet" in tab.text
    tab.check("first-run")
    command = ["sh", "-c", tab.page.locator("section pre code").inner_text() + " --password-stdin"]
    pasted = subprocess.run(  # in a terminal that knows nothing of the running system
        command, cwd=ROOT, env=own_environment(), input=PASSWORD, capture_output=True, text=True, timeout=200
    )
    assert pasted.returncode == 0 and "you@example.org" in pasted.stdout, pasted
    owner = people.log_in(system.base_url, "you@example.org")
    tab.go("/")
    assert "Nobody has an account here yet" not in tab.text
    tab.go("/manage")
    tab.fill(email=owner.email, password=PASSWORD).press("Log in")
    assert tab.path == "/manage" and "Your next three steps" in tab.text
    tab.check("first-steps")
    assert tab.page.locator(".steps .status").count() == 0
    tab.press("Create an API token").press("Create token").fill(name="laptop").press("Create token")
    owner.api_token = tab.page.locator("textarea.secret").input_value()
    assert ask(owner, "What is the capital of France?").status_code == 200
    tab.go("/manage")
    assert tab.page.locator(".steps .status").count() == 2
