"""openai-python's own tests of its resources, from its source package, against the demo model.

They were written for a mock that knows every name and answers every value, so `rewriting` stands between. What then
still fails has to be of a class below, and each class has to fail, so that the list stays true.
"""

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from tests.clients import rewriting, run
from tests.clients.catalogue import FRAMEWORKS
from tests.clients.conftest import client_environment
from tests.clients.install import python, source
from tests.e2e.people import Person

FOLDER = Path("tests/api_resources")
FILES = (
    "chat/test_completions.py",
    "chat/completions/test_messages.py",
    "test_completions.py",
    "test_embeddings.py",
    "test_models.py",
    "test_files.py",
    "test_batches.py",
    "test_responses.py",
    "responses/test_input_items.py",
    "responses/test_input_tokens.py",
    "test_vector_stores.py",
    "vector_stores/test_files.py",
    "vector_stores/test_file_batches.py",
)
FEWEST_PASSED = 170
ALONE = ("-c", os.devnull, "-p", "no:cacheprovider", "-o", "asyncio_mode=auto")
LEFT = {
    "`models.delete`": r"TestModels::test_\w+_delete\[.* 403 ",
    "`responses.cancel` and `responses.compact`": r"TestResponses::test_\w+_(cancel|compact)(_with_all_params)?\[",
    "`expires_after`": r" (output_)?expires_after: ",
    "`limit: 0`": r" limit: must be at least 1",
    "`best_of: 0`": r" best_of: must be at least 1",
    "`max_tokens: 0`": r" max_tokens: must be at least 1",
    "a file batch of neither or both of `file_ids` and `files`": r" either file_ids or files",
    "base64 embeddings, which the SDK's strict mode takes for a mistake": r"TestEmbeddings.*APIResponseValidationError",
}
"""What does not pass, by name and error: first what Sluice does not offer, then values that only a mock takes."""


def test_its_tests_pass_but_for_the_named_classes(
    person: Person, tmp_path: Path, record_property: Callable[[str, str], None]
) -> None:
    with rewriting.serving(person) as url:
        passed, failures = outcome(url, client_environment(person, tmp_path), tmp_path)
    counted = Counter(map(class_of, failures))
    assert set(counted) == set(LEFT), [failure for failure in failures if class_of(failure) not in LEFT]
    assert passed >= FEWEST_PASSED
    left = ", ".join(f"{name} {counted[name]}" for name in LEFT)
    record_property("result", f"{passed} of {passed + len(failures)} of its tests; the others: {left}")


def outcome(url: str, env: dict[str, str], home: Path) -> tuple[int, list[str]]:
    """How many passed, and the name and error of each other. Those of strict mode also check each answer's form."""
    root, report = source("openai", FRAMEWORKS), home / "report.xml"
    words = (python(FRAMEWORKS), "-m", "pytest", "-q", *ALONE, "--rootdir", root, "-k", "not async and not loose")
    files = [str(FOLDER / name) for name in FILES]
    run.ended((*words, f"--junitxml={report}", *files), env | {"TEST_API_BASE_URL": url}, root)
    cases = list(ElementTree.parse(report).iter("testcase"))
    failures = [f"{case.get('classname')}::{case.get('name')} {each.get('message')}" for case in cases for each in case]
    return len(cases) - len(failures), failures


def class_of(failure: str) -> str:
    return next((name for name, pattern in LEFT.items() if re.search(pattern, failure)), "unknown")
