"""`python -m tests.clients.page`: writes docs/clients.md from what the last `make test-clients` found."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.clients.catalogue import CLIENTS, ROOT, Client

PAGE = ROOT / "docs" / "clients.md"
FOUND = ROOT / "build" / "clients.json"
HEAD = """# Clients

Each of these programs is run against Sluice by `make test-clients`: unchanged, set up in its own way, in an empty home
folder with a cleared environment. `python -m tests.clients.page` writes this page from the last run. The versions are
those of `requirements-dev.lock` and of the lock files in `tests/clients`. The model is the demo model, or a scripted
one where a client needs choices that a model of 1 MB cannot make.

Measured on {day} at commit `{commit}`.

| client | version | what was run | result | the setting it needs |
| --- | --- | --- | --- | --- |
"""


def found() -> dict[str, dict[str, list[str]]]:
    """Client → test → outcome, reason if it is expected to fail, and what the test adds."""
    return json.loads(FOUND.read_text()) if FOUND.is_file() else {}


def written(outcomes: dict[str, dict[str, list[str]]], commit: str, day: str) -> str:
    """The page. Errors: KeyError (a client that did not run)."""
    rows = [_row(client, outcomes[name]) for name, client in CLIENTS.items()]
    return HEAD.format(day=day, commit=commit) + "".join(rows)


def _row(client: Client, tests: dict[str, list[str]]) -> str:
    what = "; ".join(sorted({_promise(name) for name in tests}))
    cells = (client.title, f"`{client.package}` {client.version}", what, _result(tests), client.setting)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _promise(name: str) -> str:
    return name.partition("[")[0].removeprefix("test_").replace("_", " ")


def _result(tests: dict[str, list[str]]) -> str:
    """How many passed, and each other outcome with its reason."""
    passed = [name for name, (outcome, reason, *_) in tests.items() if outcome == "passed" and not reason]
    other = [
        f"{_promise(name)}: {reason or outcome}" for name, (outcome, reason, *_) in tests.items() if name not in passed
    ]
    added = [text for _, _, *texts in tests.values() for text in texts]
    return "; ".join([f"{len(passed)} of {len(tests)} passed", *added, *other])


def main() -> None:
    commit = subprocess.run(
        ["git", "log", "-1", "--format=%h"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    PAGE.write_text(written(found(), commit, datetime.now(UTC).date().isoformat()))
    sys.stdout.write(f"{PAGE.relative_to(Path.cwd())}\n")


if __name__ == "__main__":
    main()
