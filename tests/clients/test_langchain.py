"""LangChain's own standard tests of a chat model against the scripted model, over each of the three APIs."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from tests.clients import run
from tests.clients.catalogue import FRAMEWORKS
from tests.clients.conftest import client_environment
from tests.clients.install import python
from tests.clients.puppet import Scripted

ONE_LOOP = (
    "asyncio_mode=auto",
    "asyncio_default_test_loop_scope=session",
    "asyncio_default_fixture_loop_scope=session",
)
"""LangChain shares a connection pool between models, and a pool belongs to the loop in which it was first used."""
ALONE = ("-c", os.devnull, "--noconftest", "--import-mode=importlib", "-p", "no:cacheprovider")


def test_langchains_standard_tests_over_chat_responses_and_messages(
    scripted: Scripted, tmp_path: Path, record_property: Callable[[str, str], None]
) -> None:
    words = [word for option in ONE_LOOP for word in ("-o", option)]
    command = (python(FRAMEWORKS), "-m", "pytest", "-q", *ALONE, *words, run.HERE / "langchain_script.py")
    said = run.finished(command, client_environment(scripted.person, tmp_path), tmp_path)
    passed = re.search(r"(\d+) passed, (\d+) skipped", said)
    assert passed and int(passed[1]) >= 116, said
    record_property("result", f"{passed[1]} of LangChain's tests, {passed[2]} of images, audio and PDF left out")
    scripted.check_ledger()
