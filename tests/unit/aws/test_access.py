"""Where credentials and region come from."""

import pytest
from botocore.session import Session

from sluice.adapters.aws.access import NoCredentials, access

KEYS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "eu-west-1"}
OLDER = {"AWS_SECURITY_TOKEN": "t"}
LAMBDA = {"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_REGION": "us-east-2", "AWS_SESSION_TOKEN": "t"}


@pytest.fixture(autouse=True)
def botocore(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without any credentials but those that a test sets."""
    for name in ("AWS_PROFILE", "AWS_CREDENTIAL_EXPIRATION", *OLDER, *LAMBDA):
        monkeypatch.delenv(name, raising=False)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Session, "get_credentials", lambda self: None)


@pytest.mark.parametrize(
    ("more", "region", "token"), [({}, "eu-west-1", None), (OLDER, "eu-west-1", "t"), (LAMBDA, "us-east-2", "t")]
)
def test_what_the_environment_has_is_taken(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, str], region: str, token: str | None
) -> None:
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    granted = access()
    keys = granted.credentials.get_frozen_credentials()
    assert (granted.region, keys.access_key, keys.secret_key, keys.token) == (region, "AKIA", "secret", token)


@pytest.mark.parametrize(
    "change", [*[{name: ""} for name in KEYS], {"AWS_CREDENTIAL_EXPIRATION": "2026-12-01T00:00:00Z"}]
)
def test_what_is_incomplete_or_expires_is_botocores(monkeypatch: pytest.MonkeyPatch, change: dict[str, str]) -> None:
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(NoCredentials):
        access().credentials.get_frozen_credentials()
