"""The store's clients that a process keeps: what tests that change the store's address have to forget."""

import sys


def make_tables(prefix: str) -> None:
    """In the store that the environment names."""
    from botocore.session import get_session

    from sluice.adapters.aws.unix_sockets import led_to_store
    from tests.tables import create_missing

    client = led_to_store(get_session().create_client("dynamodb"))
    create_missing(client, prefix)
    client.close()


def forget_store_clients() -> None:
    """Close the small client and the models' one, if there are any. The next call builds new ones."""
    from sluice.adapters.aws import dynamo

    kept = [dynamo, *(sys.modules[name] for name in ("sluice.adapters.aws.model_store",) if name in sys.modules)]
    for module in kept:
        if module.client._built:
            module.client().close()
        for member in vars(module).values():
            if hasattr(member, "cache_clear"):
                member.cache_clear()
