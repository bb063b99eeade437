"""`make release`: what is in it, the same bytes twice, checksums and a signature that anybody can check."""

import hashlib
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from infra.release import NAMESPACE, SUMS, ReleaseError, changes_of, release
from sluice import __version__
from tests.contract.markdown import ROOT

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="a release is made of what git has")
IN_BOTH = (
    "functions/inference/catalogue.json",
    "functions/web/openapi.json",
    "infra/local/launcher.py",
    "infra/setup/llama.lock",
    "infra/setup/store.py",
    "model/all-minilm-l6-v2-q8_0.gguf",
    "model/demo-model-q8_0.gguf",
)
PAGES = ("locales/ja/LC_MESSAGES/messages.mo", "static/sluice.css", "templates/home.html")
ONLY_SOURCES = (
    "Containerfile",
    "Makefile",
    "compose.yaml",
    "requirements.lock",
    "template.yaml",
    "tests/unit/infra/test_release.py",
)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
    return file


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, key: Path) -> Path:
    return release("HEAD", tmp_path_factory.mktemp("release"), str(key))


def contents(made: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in made.iterdir()}


@pytest.mark.long
@pytest.mark.slow
def test_two_releases_are_equal_byte_for_byte(
    made: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one elsewhere, at another time, in another zone, and for a user with a stricter mask."""
    monkeypatch.setenv("TZ", "Asia/Taipei")
    before = os.umask(0o077)
    try:
        again = release("HEAD", tmp_path, str(key))
    finally:
        os.umask(before)
    assert len(contents(made)) == 6
    assert contents(again) == contents(made)


@pytest.mark.long
@pytest.mark.slow
def test_wheel_and_sources_have_what_a_run_needs(made: Path) -> None:
    (wheel,), (sources,) = made.glob("*.whl"), made.glob("*.tar.gz")
    inside = set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(sources) as packed:
        unpacked = {name.split("/", 1)[1] for name in packed.getnames()}
    assert {*IN_BOTH, *(f"sluice/pages/{name}" for name in PAGES)} <= inside
    assert {*IN_BOTH, *ONLY_SOURCES, *(f"layers/core/sluice/pages/{name}" for name in PAGES)} <= unpacked
    assert {name.split("/")[0] for name in inside} == {
        "functions", "infra", "model", "sluice", f"sluice_gateway-{__version__}.dist-info",
    }  # fmt: skip
    assert not [name for name in inside | unpacked if "__pycache__" in name or name.startswith((".venv", ".tools"))]


@pytest.mark.long
@pytest.mark.slow
def test_the_sources_make_the_same_wheel(made: Path, tmp_path: Path) -> None:
    (wheel,), (sources,) = made.glob("*.whl"), made.glob("*.tar.gz")
    with tarfile.open(sources) as packed:
        packed.extractall(tmp_path, filter="data")
    commit = subprocess.run(["git", "show", "-s", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=True)
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path / "again"]
    (folder,) = tmp_path.iterdir()
    subprocess.run(build, cwd=folder, env=os.environ | {"SOURCE_DATE_EPOCH": commit.stdout.strip()}, check=True)
    assert (tmp_path / "again" / wheel.name).read_bytes() == wheel.read_bytes()


@pytest.mark.long
@pytest.mark.slow
def test_the_checksums_name_every_file_and_their_signature_is_checked_by_ssh_keygen(
    made: Path, key: Path, tmp_path: Path
) -> None:
    sums = dict(reversed(line.split("  ")) for line in (made / SUMS).read_text().splitlines())
    found = {name: hashlib.sha256(content).hexdigest() for name, content in contents(made).items()}
    assert {name: found[name] for name in found if not name.startswith(SUMS)} == sums
    signers = tmp_path / "signers"
    signers.write_text(f"releases@example.org {key.with_suffix('.pub').read_text()}")
    check = ["ssh-keygen", "-Y", "verify", "-f", signers, "-I", "releases@example.org", "-n", NAMESPACE]
    check += ["-s", made / f"{SUMS}.sig"]
    genuine = (made / SUMS).read_bytes()
    assert subprocess.run(check, input=genuine, capture_output=True).returncode == 0
    assert subprocess.run(check, input=genuine.replace(b"0", b"1"), capture_output=True).returncode != 0


def test_a_tag_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"there is no v9\.9\.9 in git"):
        release("v9.9.9", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_changes_are_those_of_the_version_and_a_version_without_a_dated_section_is_not_released() -> None:
    log = "# Changelog\n\n## [Unreleased]\n- c\n\n## [1.1.0] - 2026-11-30\n- b\n\n## [1.0.0] - 2026-11-01\n- a\n"
    assert changes_of("1.1.0", log) == "## [1.1.0] - 2026-11-30\n- b\n"
    assert changes_of("1.0.0", log) == "## [1.0.0] - 2026-11-01\n- a\n"
    for version in ("Unreleased", "1.0", "1a1.0", "2.0.0"):
        with pytest.raises(ReleaseError, match="has no section"):
            changes_of(version, log)
