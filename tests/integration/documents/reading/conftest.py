"""`place`: a store and a data directory for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Store
from tests.integration.documents.reading import place as places
from tests.integration.documents.reading.place import Place
from tests.store_clients import forget_store_clients


@pytest.fixture
def place(store: Store, tmp_path: Path) -> Iterator[Place]:
    """Builds a new client, because the environment names this session's store."""
    forget_store_clients()
    yield places.make(tmp_path, store.prefix)
    forget_store_clients()
