"""While the store is unavailable every endpoint is 503 with `Retry-After`; afterwards it answers as before."""

import pytest

from tests.integration.accounts.world import PASSWORD, World, forget_everything
from tests.ports import free_port
from tests.store_clients import make_tables
from tests.store_process import running_store

CALLS = [
    ("POST", "/auth/login", {"email": "ann@example.com", "password": PASSWORD}),
    ("POST", "/auth/logout", None),
    ("POST", "/auth/change-password", {"current_password": PASSWORD, "new_password": "a whole new passphrase"}),
    ("GET", "/account", None),
    ("PATCH", "/account", {"name": "Bo"}),
    ("DELETE", "/account", {"password": PASSWORD}),
    ("GET", "/account/export", None),
    ("POST", "/auth/change-email", {"new_email": "bo@example.com", "password": PASSWORD}),
    ("GET", "/account/sessions", None),
    ("DELETE", "/account/sessions/ses_x", None),
    ("POST", "/tokens", {"name": "x"}),
    ("GET", "/tokens", None),
    ("GET", "/tokens/tok_x", None),
    ("POST", "/tokens/tok_x/revoke", None),
    ("DELETE", "/tokens/tok_x", None),
    ("POST", "/tokens/revoke-all", None),
]


@pytest.fixture
def mortal(world: World, monkeypatch: pytest.MonkeyPatch) -> tuple[World, int]:
    """The world with a store's port on which nothing listens yet."""
    port = free_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", f"http://127.0.0.1:{port}")
    forget_everything()
    return world, port


def test_every_endpoint_is_503_without_a_store_and_recovers_by_itself(mortal: tuple[World, int]) -> None:
    from sluice import settings

    world, port = mortal
    session = {"Authorization": "Bearer ses_0000000000000000." + "A" * 43}
    for method, path, body in CALLS:
        answer = world.client.open(path, method=method, json=body, headers=session)
        assert (answer.status_code, answer.json["code"]) == (503, "unavailable"), path
        assert int(answer.headers["Retry-After"]) >= 1
        assert "127.0.0.1" not in answer.text and "sluice-" not in answer.text
    with running_store(port=port):
        make_tables(settings.common().table_prefix)
        headers = world.login(world.account("ann@example.com"))
        assert world.issue(headers)
        assert world.client.get("/account", headers=headers).status_code == 200
