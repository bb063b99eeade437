"""What `sluice upgrade` says and reads: how another version is installed, and who runs."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

import sluice
from infra import place
from infra.cli import main
from infra.local.holder import Holder


@pytest.mark.parametrize(
    ("mark", "command"),
    [
        ("uv-receipt.toml", "uv tool install --force sluice-gateway==0.2.0"),
        ("pipx_metadata.json", "pipx install --force sluice-gateway==0.2.0"),
        ("pyvenv.cfg", "/opt/python -m pip install sluice-gateway==0.2.0"),
    ],
)
def test_another_version_is_installed_as_this_one_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str, command: str
) -> None:
    assert place.install("0.2.0") == "git checkout v0.2.0 && make setup"
    (tmp_path / mark).touch()
    monkeypatch.setattr(place, "CHECKOUT", False)
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    monkeypatch.setattr("sys.executable", "/opt/python")
    assert place.install("0.2.0") == command


def test_a_run_is_read_as_it_notes_itself_and_as_earlier_versions_did() -> None:
    this = Holder.of("http://127.0.0.1:8080")
    assert Holder.read(this.note()) == this
    assert (this.pid, this.version) == (os.getpid(), sluice.__version__)
    assert Holder.read("process 12, http://[::1]:8080") == Holder(12, "http://[::1]:8080")
    assert str(this) == f"process {os.getpid()}, http://127.0.0.1:8080"


def test_to_look_and_to_go_back_are_not_asked_for_together() -> None:
    done = CliRunner().invoke(main, ["upgrade", "--check", "--back", "--yes"])
    assert done.exit_code == 2 and "give one of them" in done.stderr


@pytest.mark.parametrize("note", ["", "process", "process x, http://a", "process 1", "process 12, http://a, sluice 1"])
def test_another_note_is_no_run(note: str) -> None:
    assert Holder.read(note) is None
