"""`make audit` and `make sbom`: every locked package is compared, and listed with its hashes."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.audit import __main__ as audit

ROOT = Path(__file__).parents[2]
ADVISORY = {"ids": ["PYSEC-1"], "ranges": [["1.0", "2.1"], ["3.0", None]]}


def test_no_stored_advisory_names_a_locked_version() -> None:
    copy = json.loads(audit.COPY.read_text())
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", copy["day"]) and len(copy["advisories"]) > 10
    assert audit.stored(audit.locked(), copy) == []


@pytest.mark.parametrize(
    ("version", "found"), [("0.9", 0), ("1.0", 1), ("2.0.9", 1), ("2.1", 0), ("2.10", 0), ("3.0", 1), ("10.0", 1)]
)
def test_an_advisory_is_found_by_its_ranges(version: str, found: int) -> None:
    copy = {"advisories": {"flask": [ADVISORY], "other": [ADVISORY]}}
    assert len(audit.stored({"flask": version}, copy)) == found


def test_every_registry_is_asked_about_everything() -> None:
    pinned = {"flask", "llama-cpp-python", "uv", "pytest", "pydantic-core"}
    assert pinned <= set(audit.locked())
    assert set(audit.vendored()) == set(audit.NPM.values())


def test_a_registry_that_does_not_answer_is_never_taken_for_a_clean_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    skipped = {"dependencies": [{"name": "flask", "skip_reason": "not found"}]}
    for answer in ({}, skipped, {"error": "405"}):
        monkeypatch.setattr(audit, "_json", lambda *_, said=answer: said)
        assert audit.live_pypi({"flask": "1.0"}) is None and audit.live_npm({"htmx.org": "4.0.1"}) is None
        assert audit.main() == 0
        said = capsys.readouterr().out
        assert json.loads(audit.COPY.read_text())["day"] in said and "NOT CHECKED" in said


def test_what_a_registry_finds_fails_the_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = {"dependencies": [{"name": "flask", "version": "1.0", "vulns": [{"id": "PYSEC-1"}]}]}
    monkeypatch.setattr(audit, "_json", lambda *_: fault)
    assert audit.live_pypi({"flask": "1.0"}) == ["flask 1.0: PYSEC-1"] and audit.main() == 1
    monkeypatch.setattr(audit, "_json", lambda *_: {"vulnerabilities": {"htmx.org": {"severity": "high"}}})
    assert audit.live_npm({"htmx.org": "4.0.1"}) == ["htmx.org: high"]


def test_the_sbom_lists_every_locked_package_with_its_hashes(tmp_path: Path) -> None:
    made = tmp_path / "sbom.cdx.json"
    command = ["make", "--no-print-directory", "sbom", f"SBOM={made}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=280)
    bom = json.loads(made.read_text())
    assert bom["bomFormat"] == "CycloneDX" and bom["metadata"]["component"]["name"] == "sluice-gateway"
    locks = (ROOT / "requirements.lock").read_text() + (ROOT / "infra" / "setup" / "llama.lock").read_text()
    entries = re.findall(r"^([a-z0-9.-]+)==(\S+).*?\\\n((?: +--hash=sha256:.*\n)+)", locks, re.MULTILINE)
    listed = {one["purl"]: one for one in bom["components"]}
    assert len(entries) > 40 and len(listed) == len(bom["components"]) == len(entries)
    for name, version, hashes in entries:
        (source,) = listed[f"pkg:pypi/{name}@{version}"]["externalReferences"]
        assert {one["content"] for one in source["hashes"]} == set(re.findall(r"sha256:(\w+)", hashes))
