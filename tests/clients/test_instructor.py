"""instructor against the scripted model. `instructor_script.py` does the calls."""

from pathlib import Path

from tests.clients import run
from tests.clients.catalogue import WRAPPERS
from tests.clients.conftest import client_environment
from tests.clients.puppet import Scripted

ROME = {"name": "Rome", "inhabitants": 5}


def test_tools_strict_tools_json_schema_parallel_tools_and_partial_objects(scripted: Scripted, tmp_path: Path) -> None:
    got = run.python_script(WRAPPERS, "instructor", client_environment(scripted.person, tmp_path))
    assert got.pop("PARALLEL_TOOLS") == [ROME]
    assert got == {"TOOLS": [ROME, ROME], "TOOLS_STRICT": [ROME, ROME], "JSON_SCHEMA": [ROME, ROME]}
    scripted.check_ledger()
