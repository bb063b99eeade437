"""The store's clients that a process keeps: what tests that change the store's address have to forget."""

import os
import sys
from dataclasses import replace
from typing import Any

from sluice.adapters.aws.json_service import HOT

PATIENT = replace(HOT, connect_seconds=60.0, read_seconds=60.0, deadline_seconds=120.0)
"""For a store on this machine, which may be slow: the product's 2 s end calls that many threads make at once."""


def make_tables(prefix: str) -> None:
    """In the store that the environment names."""
    from botocore.session import get_session

    from sluice.adapters.aws.unix_sockets import led_to_store
    from tests.tables import create_missing

    client = led_to_store(get_session().create_client("dynamodb"))
    create_missing(client, prefix)
    client.close()


def forget_store_clients(*, but_current: bool = False) -> None:
    """Close the small client and the models' one, if there are any. The next call builds new ones.

    `but_current`: the models' one stays if it is of the store that the environment names, because botocore takes 50 ms
    of CPU for another.
    """
    from sluice.adapters.aws import dynamo

    for module in (dynamo, sys.modules.get("sluice.adapters.aws.model_store")):
        if module is None:
            continue
        stays = but_current and module.client._built and module is not dynamo and _is_current(module.client())
        if module.client._built and not stays:
            module.client().close()
        for name, member in vars(module).items():
            if hasattr(member, "cache_clear") and not (name == "client" and stays):
                member.cache_clear()


def _is_current(client: Any) -> bool:
    return bool(client.meta.endpoint_url == os.environ.get("AWS_ENDPOINT_URL_DYNAMODB"))
