"""A place with a store and a data directory of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sluice.adapters.aws import dynamo
from tests.conftest import Store
from tests.integration.documents.reading import place as places
from tests.integration.documents.reading.place import Place


@pytest.fixture
def place(store: Store, tmp_path: Path) -> Iterator[Place]:
    """The client is built anew: the environment names this session's store."""
    dynamo.client.cache_clear()
    dynamo._client.cache_clear()
    yield places.make(tmp_path, store.prefix)
    dynamo.client().close()
    dynamo.client.cache_clear()
    dynamo._client.cache_clear()
