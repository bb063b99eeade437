from collections.abc import Iterator

import pytest

from tests.integration.inference.server import Server, running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("inference")) as started:
        yield started
