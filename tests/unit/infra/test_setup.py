"""Parts of the setup. The whole setup has run before any other test."""

import io
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from infra.setup import llama, store
from infra.setup import main as setup
from infra.setup.console import ProgressLine, SetupError, run
from tests.waiting import eventually


def archive(folder: Path, member: str, content: bytes = b"#!/bin/sh\n") -> Path:
    path = folder / "package.tgz"
    with tarfile.open(path, "w:gz") as packed:
        info = tarfile.TarInfo(member)
        info.size = len(content)
        packed.addfile(info, io.BytesIO(content))
    return path


def test_an_archive_with_another_hash_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="is not the archive this project was tested with"):
        store._check(archive(tmp_path, store.MEMBER), store.SHA512["linux-x64"])


def test_only_the_binary_is_unpacked_and_it_is_executable(tmp_path: Path) -> None:
    target = tmp_path / "dynoxide"
    store._unpack(archive(tmp_path, store.MEMBER), target)
    assert target.stat().st_mode & 0o111
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dynoxide", "package.tgz"]


def test_archive_without_the_binary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="has no package/dynoxide"):
        store._unpack(archive(tmp_path, "package/other"), tmp_path / "dynoxide")


def test_on_a_machine_without_a_build_of_the_store_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.platform, "machine", lambda: "riscv64")
    with pytest.raises(SetupError, match="AWS_ENDPOINT_URL"):
        store.install(tmp_path, Path("uv"))


def test_a_missing_compiler_is_reported_in_plain_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(llama, "_answers", lambda _python: False)
    with pytest.raises(SetupError, match="no C\\+\\+ compiler"):
        llama.install(tmp_path / "python", tmp_path / "log")


def test_the_progress_is_read_from_ninjas_output(capsys: pytest.CaptureFixture[str]) -> None:
    step = llama.NINJA_STEP.search("  [37/140] /usr/bin/g++ -DGGML_BUILD -o x.o -c x.cpp")
    assert step is not None
    line = ProgressLine("compiling")
    line.show(int(step[1]), int(step[2]))
    line.show(38, 140)  # too soon after the last line to be logged
    line.show(140, 140)
    shown = capsys.readouterr().err.splitlines()
    assert [text.split()[-2] for text in shown] == ["37/140", "140/140"]


def test_a_failed_command_is_reported_with_its_last_lines() -> None:
    with pytest.raises(SetupError, match=r"counting failed:\n    one\n    two"):
        run(["sh", "-c", "echo one; echo two >&2; exit 3"], "counting")


def test_two_setups_of_one_folder_take_turns_and_the_second_finds_all_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun, go_on, made = threading.Event(), threading.Event(), []

    def set_up(wanted: str) -> None:
        made.append(wanted)
        begun.set()
        assert go_on.wait(10)
        stamp.write_text(setup._fingerprint(wanted))

    stamp = tmp_path / "stamp"
    monkeypatch.setattr(sys, "argv", ["setup"])
    monkeypatch.setattr(setup, "TOOLS", tmp_path / "tools")
    monkeypatch.setattr(setup, "_stamp", lambda wanted: stamp)
    monkeypatch.setattr(setup, "_set_up", set_up)
    first, second = threading.Thread(target=setup.main), threading.Thread(target=setup.main)
    first.start()
    assert begun.wait(10)
    second.start()
    said: list[str] = []
    eventually(lambda: said.append(capsys.readouterr().err) or "waiting for it" in "".join(said))  # type: ignore[func-returns-value]
    go_on.set()
    first.join(10)
    second.join(10)
    assert made == ["run"] and not second.is_alive()
