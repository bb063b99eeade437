"""Sign-in by another site by clicking, with the certified provider of OpenID Connect from npm (panva's oidc-provider).

It is served as `localhost`, which is another site for the browser than `127.0.0.1`, so that what comes back is a
cross-site navigation, as in life.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from infra.words import TRANSLATED
from sluice.domain.accounts.audit import OPERATOR
from sluice.domain.settings.checking import check
from sluice.services.operations.admin import Actor
from sluice.wiring import stores
from sluice.wiring.settings import owners_terms
from tests.browser.conftest import NewTab
from tests.browser.stage import Stage, opened
from tests.browser.tab import Tab
from tests.clients.install import node_modules
from tests.e2e.people import Person
from tests.integration.accounts.world import PASSWORD
from tests.integration.gateway.admission.engines import wait_for
from tests.ports import free_port

HERE = Path(__file__).parent / "oidc_provider"
CLIENT, SECRET = "sluice", "a-secret-of-the-test"
SETTLED_SECONDS = 60  # settings are in force within 10


class Elsewhere:
    """The provider's process."""

    def __init__(self, back: str, folder: Path) -> None:
        self._port, self._back, self._folder = free_port(), back, folder
        self.issuer = f"http://localhost:{self._port}"
        shutil.copy(HERE / "provider.mjs", node_modules(HERE).parent)  # an import looks beside the file
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, key: str) -> None:
        about = {"ISSUER": self.issuer, "CLIENT": CLIENT, "SECRET": SECRET, "BACK": self._back, "KEY": key}
        with (self._folder / "provider.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["node", "provider.mjs"],
                cwd=node_modules(HERE).parent,
                env={"PATH": os.environ["PATH"], "UNVERIFIED": "mallory@example.com", **about},
                stdout=log,
                stderr=log,
            )
        wait_for(self._port, self._process)

    def stop(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def rotate(self, key: str) -> None:
        self.stop()
        self.start(key)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, Elsewhere]]:
    folder = tmp_path_factory.mktemp("sign-in")
    secret = folder / "secret"
    secret.write_text(SECRET)
    with opened(folder) as stage:
        elsewhere = Elsewhere(f"{stage.url}/auth/oidc/elsewhere/callback", folder)
        elsewhere.start("one")
        about = {"name": "elsewhere", "title": "Elsewhere", "issuer": elsewhere.issuer, "client_id": CLIENT}
        owners_terms().change(Actor(OPERATOR), 0, check({"sign_in": [{**about, "key": f"file:{secret}"}]}), 1)
        nobody, until = Person(stage.url, "", "", ""), time.monotonic() + SETTLED_SECONDS
        while not nobody.call("GET", "/auth/oidc").json()["data"]:
            assert time.monotonic() < until, "the settings are not in force"
            time.sleep(0.2)
        yield stage, elsewhere
        elsewhere.stop()


def continue_as(tab: Tab, address: str) -> None:
    """From a page with the button to where the site leads afterwards."""
    tab.press("Continue with Elsewhere")
    if tab.page.title() == "Elsewhere":
        tab.fill(login=address).press("Sign in there")


def test_sign_up_sign_in_again_and_after_a_change_of_keys(site: tuple[Stage, Elsewhere], new_tab: NewTab) -> None:
    stage, elsewhere = site
    tab = new_tab(at=stage.url).visits(elsewhere.issuer)
    tab.go("/sign-up")
    tab.check("sign-up-providers")
    continue_as(tab, "ann@example.com")
    assert tab.path == "/my/chats"
    tab.go("/my/account")
    assert "Ann of Elsewhere" in tab.page.locator("#field-name").input_value()
    assert "Your only way in" in tab.text and "Set a password by mail" in tab.text
    tab.check("account-without-password")
    cookie = next(one for name, one in tab.cookies().items() if name.endswith("sluice_session"))
    assert cookie["httpOnly"] and cookie["sameSite"] == "Lax"
    account_id = tab.page.locator("#data ~ dl code").first.inner_text()
    for key in ("one", "two"):  # first within the provider's own session, then after it has other keys
        if key == "two":
            elsewhere.rotate(key)
        again = new_tab(at=stage.url, script=key == "one").visits(elsewhere.issuer)
        again.go("/login?next=account")
        if key == "one":
            again.check("login-providers")
        continue_as(again, "ann@example.com")
        assert again.path == "/my/account"
        assert again.page.locator("#data ~ dl code").first.inner_text() == account_id


def test_an_address_with_an_account_is_linked_by_its_password_and_unlinked(
    site: tuple[Stage, Elsewhere], new_tab: NewTab
) -> None:
    stage, elsewhere = site
    account = stage.world.account("bo@example.com")
    tab = new_tab(at=stage.url).visits(elsewhere.issuer)
    tab.go("/login")
    continue_as(tab, account.email)
    assert tab.path == "/login?note=link&next=link" and "exists already" in tab.text
    tab.check("login-to-link")
    tab.fill(email=account.email, password=PASSWORD).press("Log in")
    assert tab.heading == "Link Elsewhere?" and account.email in tab.text
    tab.check("link-sign-in")
    for language in TRANSLATED:
        tab.plant("sluice_language", language)
        for path in ("/login", "/sign-up", "/my/account", "/my/link-sign-in"):
            assert tab.go(path) == 200
            tab.narrow(f"{path} in {language}")
    tab.plant("sluice_language", "en").go("/my/link-sign-in")
    tab.press("Link it")
    assert "Linked." in tab.text
    tab.check("account-linked")
    other = new_tab(at=stage.url).visits(elsewhere.issuer)
    other.go("/login?next=account")
    continue_as(other, account.email)
    assert other.path == "/my/account"
    other.press("Unlink")
    assert "Unlinked." in other.text
    third = new_tab(at=stage.url).visits(elsewhere.issuer)
    third.go("/login")
    continue_as(third, account.email)
    assert third.path == "/login?note=link&next=link"


def test_an_account_without_a_password_confirms_there_and_is_deleted(
    site: tuple[Stage, Elsewhere], new_tab: NewTab
) -> None:
    stage, elsewhere = site
    tab = new_tab(at=stage.url).visits(elsewhere.issuer)
    tab.go("/login")
    continue_as(tab, "cy@example.com")
    session = stores.session_store().get(tab.cookies()["sluice_session"]["value"].partition(".")[0])
    assert session is not None
    stores.session_store().put(replace(session, created_ms=session.created_ms - 3_600_000))  # an hour ago
    tab.go("/my/account/delete")
    tab.press("Delete my account")
    assert tab.path == "/my/confirm?next=account"
    tab.check("confirm-by-provider")
    tab.press("Confirm with Elsewhere")
    assert tab.page.title() == "Elsewhere"  # it asks again, although it knows the browser
    tab.fill(login="cy@example.com").press("Sign in there")
    assert tab.path == "/my/account"
    tab.go("/my/account/delete")
    tab.press("Delete my account")
    assert "deleted" in tab.text


def test_an_unverified_address_is_told_in_words(site: tuple[Stage, Elsewhere], new_tab: NewTab) -> None:
    stage, elsewhere = site
    tab = new_tab(at=stage.url).visits(elsewhere.issuer)
    tab.go("/login")
    continue_as(tab, "mallory@example.com")
    assert "tells no verified email address" in tab.text
    tab.check("provider-unverified")
    assert tab.go(tab.page.url) == 401  # a reload: the answer is used up
    tab.check("provider-used")
