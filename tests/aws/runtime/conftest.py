"""One town for the suite, and Amazon's programs if this machine has them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws.conftest import missing
from tests.aws.runtime import tools
from tests.aws.runtime import town as towns
from tests.aws.runtime.town import Town


@pytest.fixture(scope="session")
def town() -> Iterator[Town]:
    with towns.town() as made:
        yield made


@pytest.fixture(autouse=True)
def _calm(town: Town) -> Iterator[None]:
    yield
    town.model.reset()


@pytest.fixture(scope="session")
def lambda_build(build: Path) -> Path:
    """The packages of `sam build`, on a machine that can run them."""
    if reason := tools.why_no_python():
        missing(reason)
    return build


@pytest.fixture(scope="session")
def adapter() -> Path:
    if reason := tools.why_no_adapter():
        missing(reason)
    return tools.adapter()
