"""On HTTPS behind a proxy, the browser accepts cookies that no neighbouring host can plant, and everything works."""

import socket
from pathlib import Path

from tests.browser.conftest import NewTab
from tests.browser.outbox import link
from tests.browser.tls import HOST, https_in_front
from tests.e2e.conftest import NewSystem
from tests.e2e.people import PASSWORD, new_address


def test_on_https_cookies_are_bound_to_the_host_and_a_planted_one_is_ignored(
    new_system: NewSystem, new_tab: NewTab, tmp_path: Path
) -> None:
    listening = socket.create_server((HOST, 0))
    public = f"https://{HOST}:{listening.getsockname()[1]}"
    system = new_system({"SLUICE_BASE_URL": public}).start()
    with https_in_front(listening, system.port, tmp_path):
        tab, address = new_tab(at=public), new_address()
        tab.go("/sign-up")
        tab.fill(email=address, password=PASSWORD).press("Sign up")
        verify = link(system.base_url, address, "verify_email")
        assert verify.startswith(public + "/")
        tab.go(verify)
        tab.press("Verify my address").press("Log in").fill(email=address, password=PASSWORD).press("Log in")
        assert tab.path.startswith("/my/chats")
        cookies = tab.cookies()
        assert cookies.pop("sluice_zone", {}).get("value", "UTC") == "UTC"  # the script's, no secret: the time zone
        assert set(cookies) == {"__Host-sluice_form", "__Host-sluice_session", "sluice_mailed"}
        assert all(one["secure"] and one["httpOnly"] and one["sameSite"] == "Lax" for one in cookies.values())
        answer = tab.page.goto("/my/account")
        assert answer is not None and "max-age=" in answer.headers["strict-transport-security"]
        tab.fill(name="Ada").press("Save")
        assert "Saved" in tab.text

        victim = new_tab(at=public)
        stolen = cookies["__Host-sluice_session"]["value"]
        victim.plant("sluice_session", stolen)  # as a neighbouring host could
        victim.go("/my/account")
        assert victim.path == "/login?next=account"
        tab.press("Log out")
        assert "__Host-sluice_session" not in tab.cookies()
