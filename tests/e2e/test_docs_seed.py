"""`sluice docs seed` on a running system; deleting the account also deletes the seeded documents."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e import people
from tests.e2e.people import PASSWORD
from tests.e2e.system import ROOT, System

pytestmark = pytest.mark.one_machine("its folder of documents")

SET = Path(__file__).parents[1] / "data" / "documents" / "files"


def seed(system: System, source: Path, email: str, *options: str) -> "subprocess.CompletedProcess[str]":
    words = ["docs", "seed", str(source), "--user", email, *options]
    command = [sys.executable, "-c", "from infra.cli import main; main()", *words]
    return subprocess.run(command, env=system.environment, cwd=ROOT, capture_output=True, text=True, timeout=200)


def test_a_folder_is_seeded_searched_seeded_again_and_gone_with_its_account(system: System, tmp_path: Path) -> None:
    person, folder = people.newcomer(system.base_url), tmp_path / "few"
    folder.mkdir()
    for name in ("pool-safety.md", "有給休暇.md", "parking.md"):
        (folder / name).write_bytes((SET / name).read_bytes())
    first = seed(system, folder, person.email, "--store", "handbook")
    assert first.returncode == 0 and "3 new" in first.stdout, first.stdout + first.stderr
    again = seed(system, folder, person.email, "--store", "handbook")
    assert "0 new, 0 of them replace older ones, 3 unchanged" in again.stdout
    (store,) = person.openai.vector_stores.list().data
    for question, name in (
        ("How deep is the deep end?", "pool-safety.md"),
        ("有給休暇は年間何日ですか", "有給休暇.md"),
    ):
        assert person.openai.vector_stores.search(store.id, query=question).data[0].filename == name
    account_id = person.call("GET", "/account").json()["id"]
    held = [path for path in (system.data_dir / "documents").rglob("*") if account_id in str(path) and path.is_file()]
    assert len(held) > 3
    assert person.call("DELETE", "/account", json={"password": PASSWORD}).status_code == 204
    left = [path for path in (system.data_dir / "documents").rglob("*") if account_id in str(path) and path.is_file()]
    assert left == []


def test_an_unknown_user_and_an_unknown_store_are_reported(system: System, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    unknown = seed(system, tmp_path / "a.txt", "nobody@example.org")
    assert unknown.returncode == 1 and "There is no user nobody@example.org" in unknown.stderr
    person = people.newcomer(system.base_url)
    store = seed(system, tmp_path / "a.txt", person.email, "--store", "vs_01ARZ3NDEKTSV4RRFFQ69G5FAV")
    assert store.returncode == 1 and "vector store" in store.stderr
