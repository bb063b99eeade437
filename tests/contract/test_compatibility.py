"""docs/compatibility.md: nothing that the last release's document promised is gone, and nothing new is demanded."""

import copy
import json
from typing import Any

import pytest

from infra import openapi
from sluice import __version__
from tests.contract import markdown
from tests.contract.promises import RELEASED, REQUIRED, promises, surface


def broken(released: set[str], now: set[str]) -> set[str]:
    """The lines of `released` that are gone, and what calls that it has now also have to send."""
    known, kept = ({line.removesuffix(REQUIRED) for line in lines} for lines in (released, now))
    demanded = {line for line in now - released if line.endswith(REQUIRED) and _parent(line) in known}
    return (known - kept) | demanded


def _parent(line: str) -> str:
    """The object that holds a field, or the operation."""
    operation = " ".join(line.split(" ")[:2])
    holder = line.rpartition(".")[0] if " sends " in line else operation
    return operation if holder.endswith((" sends ", "[]")) else holder


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(openapi.TARGET.read_text())
    return loaded


def test_everything_that_the_last_release_promised_is_there() -> None:
    released = set(RELEASED.read_text().splitlines())
    assert {"command sluice users", "variable SLUICE_BASE_URL", "POST /tokens gets .token"} <= released
    assert broken(released, set(surface())) == set()


def test_a_lost_path_a_lost_field_and_a_new_demand_are_noticed(document: dict[str, Any]) -> None:
    released = set(promises(document))
    changed = copy.deepcopy(document)
    del changed["paths"]["/usage/logs"]
    schemas = changed["components"]["schemas"]
    embeddings = schemas["EmbeddingBody"]
    embeddings["required"] = [*embeddings["required"], "dimensions"]
    embeddings["properties"]["new"] = {"type": "object", "properties": {"a": {}}, "required": ["a"]}
    changed["paths"]["/v1/models"]["get"]["parameters"] = [{"in": "query", "name": "page", "required": True}]
    answer = changed["paths"]["/tokens"]["post"]["responses"]["201"]["content"]["application/json"]["schema"]
    del schemas[answer["$ref"].rpartition("/")[2]]["properties"]["token"]
    found = broken(released, set(promises(changed)))
    assert {"GET /usage/logs", "POST /tokens gets .token"} <= found
    assert {f"GET /v1/models query page{REQUIRED}", f"POST /v1/embeddings sends .dimensions{REQUIRED}"} <= found
    assert not any(".new" in line for line in found), "whoever does not send the new object is asked for nothing"


def test_the_page_names_this_release() -> None:
    """A release stores its promises (tests/contract/promises.py)."""
    assert f"released.txt` is that of {__version__}" in markdown.read("docs/compatibility.md")
