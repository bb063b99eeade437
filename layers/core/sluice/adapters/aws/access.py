"""Credentials, region and endpoint of this process: from its environment where they are there, elsewhere by botocore.

Importing botocore costs about 170 ms of CPU in each cold start (ADR 55), and its first session 60. It, too, looks into
the environment first, and uses what is there for as long as the process lives, unless an expiry is given.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class NoCredentials(OSError):
    """There are no credentials, or they could not be renewed. An OSError, because a later retry may succeed."""


@dataclass(frozen=True)
class Frozen:
    """Fixed credentials, with the method `get_frozen_credentials` of botocore's."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(repr=False)

    def get_frozen_credentials(self) -> "Frozen":
        return self


@dataclass(frozen=True)
class Renewed:
    """botocore's credentials, which it renews by itself."""

    found: Any

    def get_frozen_credentials(self) -> Any:
        """Errors: NoCredentials."""
        from botocore.exceptions import BotoCoreError

        if self.found is None:
            raise NoCredentials("no credentials for AWS")
        try:
            return self.found.get_frozen_credentials()
        except BotoCoreError as exc:
            raise NoCredentials(str(exc)) from exc


@dataclass(frozen=True)
class Access:
    region: str
    credentials: Any


def on_lambda(environment: Mapping[str, str] = os.environ) -> bool:
    return "AWS_LAMBDA_FUNCTION_NAME" in environment and "AWS_ACCESS_KEY_ID" in environment


def access() -> Access:
    """Errors: NoCredentials, also for a profile or a configuration that botocore cannot read."""
    said = os.environ
    region = said["AWS_REGION"] if on_lambda() else said.get("AWS_DEFAULT_REGION")
    key, secret = said.get("AWS_ACCESS_KEY_ID"), said.get("AWS_SECRET_ACCESS_KEY")
    if region and key and secret and "AWS_CREDENTIAL_EXPIRATION" not in said:
        return Access(region, Frozen(key, secret, said.get("AWS_SESSION_TOKEN") or said.get("AWS_SECURITY_TOKEN")))
    from botocore.exceptions import BotoCoreError
    from botocore.session import get_session

    session = get_session()
    try:
        return Access(session.get_config_variable("region") or "us-east-1", Renewed(session.get_credentials()))
    except BotoCoreError as exc:
        raise NoCredentials(str(exc)) from exc


def endpoint(host: str, region: str) -> str:
    """In botocore's order: the service's own variable, then the general one, then AWS's address.

    `host`: its first part. What it names first stands last in the variable: `streams.dynamodb`, DYNAMODB_STREAMS.
    """
    variable = "_".join(reversed(host.upper().split(".")))
    named = os.environ.get(f"AWS_ENDPOINT_URL_{variable}") or os.environ.get("AWS_ENDPOINT_URL")
    return named or f"https://{host}.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
