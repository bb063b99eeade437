"""Parts of the setup. The whole setup has run before any other test."""

import base64
import hashlib
import io
import shutil
import sys
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from functions.inference import processor
from infra import place
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


class Registry:
    """A folder of programs that stand in for npm and for a Python with pip; both bring the archive that it holds."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.programs, self.asked, self.archive = folder / "bin", folder / "asked", archive(folder, store.MEMBER)
        self.python = self.programs / "python"
        self.programs.mkdir()
        digest = base64.b64encode(hashlib.sha512(self.archive.read_bytes()).digest()).decode()
        monkeypatch.setattr(store, "SHA512", {name: digest for name in store.PLATFORMS.values()})
        monkeypatch.setattr(store.platform, "system", lambda: "Linux")
        monkeypatch.setattr(store.platform, "machine", lambda: "x86_64")
        monkeypatch.setenv("PATH", f"{self.programs}:/usr/bin:/bin")
        monkeypatch.setattr(
            store.shutil, "which", lambda name: str(path) if (path := self.programs / name).exists() else None
        )
        self.packs = (
            f'echo "$@" >> {self.asked}; while [ "$1" != --pack-destination ]; do shift; done; cp {self.archive} "$2"'
        )

    def program(self, name: str, does: str) -> None:
        (self.programs / name).write_text(f"#!/bin/sh\n{does}\n")
        (self.programs / name).chmod(0o755)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    (tmp_path / "registry").mkdir()
    return Registry(tmp_path / "registry", monkeypatch)


def test_the_store_is_fetched_once_and_three_starts_at_once_do_not_disturb_each_other(
    tmp_path: Path, registry: Registry
) -> None:
    registry.program("node", "")
    registry.program("npm", registry.packs)
    tools = tmp_path / "tools"
    with ThreadPoolExecutor() as threads:
        found = list(threads.map(lambda _: store.install(tools, registry.python), range(3)))
    assert set(found) == {store.binary(tools)}
    assert store.binary(tools).read_bytes() == b"#!/bin/sh\n"
    assert [path.name for path in tools.iterdir()] == [f"dynoxide-{store.VERSION}"], "a temporary folder stayed"
    asked = registry.asked.read_text()
    store.install(tools, registry.python)
    assert registry.asked.read_text() == asked and f"pack @dynoxide/linux-x64@{store.VERSION}" in asked


def test_without_npm_pip_brings_one(tmp_path: Path, registry: Registry) -> None:
    """`python -m pip install … --target FOLDER NAME==VERSION` makes FOLDER/bin/npm, which that Python then runs."""
    brings = 'echo "$@" >> {asked}; while [ "$1" != --target ]; do shift; done; mkdir -p "$2/bin"; : > "$2/bin/npm"'
    runs = 'test "$PYTHONPATH" = "${1%/bin/npm}" || exit 1'
    registry.program(
        "python", f'if [ "$1" = -m ]; then {brings.format(asked=registry.asked)}; else {runs}; {registry.packs}; fi'
    )
    assert store.install(tmp_path / "tools", registry.python).is_file()
    asked = registry.asked.read_text()
    assert store.NODE_REQUIREMENT in asked and "bin/npm pack @dynoxide/linux-x64" in asked


@pytest.mark.parametrize("has_npm", [True, False])
def test_nothing_runs_in_the_folder_of_the_shell(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, has_npm: bool
) -> None:
    """`python -m pip` would take a pip.py there for pip, and root calls it for a service."""
    (tmp_path / "strangers").mkdir()
    monkeypatch.chdir(tmp_path / "strangers")
    where = f"pwd >> {registry.asked}-folders"
    brings = 'while [ "$1" != --target ]; do shift; done; mkdir -p "$2/bin"; : > "$2/bin/npm"'
    registry.program("python", f'{where}; if [ "$1" = -m ]; then {brings}; else {registry.packs}; fi')
    if has_npm:
        registry.program("node", "")
        registry.program("npm", f"{where}; {registry.packs}")
    store.install(tmp_path / "tools", registry.python)
    folders = Path(f"{registry.asked}-folders").read_text().split()
    assert len(folders) == 2 - has_npm and {Path(one).parent for one in folders} == {tmp_path / "tools"}


def test_without_a_network_the_error_says_so_and_the_next_start_tries_again(tmp_path: Path, registry: Registry) -> None:
    registry.program("node", "")
    registry.program("npm", "echo npm error network ENOTFOUND >&2; exit 1")
    with pytest.raises(SetupError, match=r"is there a network\? Set AWS_ENDPOINT_URL(.|\n)*ENOTFOUND"):
        store.install(tmp_path / "tools", registry.python)
    registry.program("npm", registry.packs)
    assert store.install(tmp_path / "tools", registry.python).is_file()


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match=r"the store cannot be installed into .*file/tools: Not a directory"):
        store.install(tmp_path / "file" / "tools", registry.python)


def test_what_is_installed_for_a_user_is_where_the_xdg_specification_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert place.CHECKOUT and place.tools({}) == place.ROOT / ".tools"
    monkeypatch.setattr(place, "CHECKOUT", False)
    monkeypatch.setenv("HOME", "/home/ada")
    assert (place.tools({}), place.data({})) == (
        Path("/home/ada/.cache/sluice"),
        Path("/home/ada/.local/share/sluice"),
    )
    monkeypatch.delenv("HOME")
    with monkeypatch.context() as nameless:
        nameless.setattr("pwd.getpwuid", lambda _: {}["no such user"])
        assert place.data({}) == Path.cwd() / ".local/share/sluice"
    monkeypatch.setenv("HOME", "/home/ada")
    named = {"XDG_CACHE_HOME": "/var/cache", "XDG_DATA_HOME": "relative/is/ignored"}
    assert (place.tools(named), place.data(named)) == (Path("/var/cache/sluice"), Path("/home/ada/.local/share/sluice"))


def test_archive_without_the_binary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="has no package/dynoxide"):
        store._unpack(archive(tmp_path, "package/other"), tmp_path / "dynoxide")


def test_on_a_machine_without_a_build_of_the_store_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.platform, "machine", lambda: "riscv64")
    with pytest.raises(SetupError, match="AWS_ENDPOINT_URL"):
        store.install(tmp_path, Path("python"))


def test_a_missing_compiler_is_reported_in_plain_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(llama, "_libraries", lambda _python: None)
    with pytest.raises(SetupError, match="no C\\+\\+ compiler"):
        llama.install(tmp_path / "python", tmp_path / "log", None)


def test_llama_cpp_uses_what_was_executed_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CMAKE_ARGS", raising=False)
    options = llama.cmake_options({"SSE42", "AVX", "AVX512"})
    asked = {option.split("=")[0]: option.split("=")[1] for option in options}
    assert asked.pop("-DGGML_NATIVE") == asked.pop("-DLLAVA_BUILD") == "OFF"
    assert {f"-DGGML_{name}" for name in processor.SETS} == set(asked)
    assert {name for name, value in asked.items() if value == "ON"} == {"-DGGML_SSE42", "-DGGML_AVX", "-DGGML_AVX512"}


def test_where_nothing_can_be_executed_llama_cpp_has_its_own_choice_and_the_owners_options_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_VULKAN=ON '-DX=a b'")
    assert llama.cmake_options(None) == ["-DLLAVA_BUILD=OFF", "-DGGML_NATIVE=OFF", "-DGGML_VULKAN=ON", "-DX=a b"]


@pytest.mark.parametrize(
    ("listed", "executed", "again"),
    [
        ("AVX AVX2", {"AVX", "AVX2"}, False),
        ("AVX AVX2 AVX512", {"AVX", "AVX2"}, True),  # a venv that was copied to a lesser machine
        ("AVX", {"AVX", "AVX2"}, True),
        (None, {"AVX", "AVX2"}, True),  # a wheel from before there were lists
        ("AVX", None, False),
    ],
)
def test_llama_cpp_is_compiled_again_for_other_instructions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: str | None, executed: set[str] | None, again: bool
) -> None:
    if listed is not None:
        (tmp_path / "instructions").write_text("\n".join(listed.split()))
    compiled: list[list[str]] = []
    monkeypatch.setattr(llama, "_libraries", lambda _python: tmp_path)
    monkeypatch.setattr(llama, "_compile", lambda _python, _log, options: compiled.append(options))
    llama.install(tmp_path / "python", tmp_path / "log", executed)
    assert compiled == ([llama.cmake_options(executed)] if again else [])


def test_pip_keeps_a_wheel_for_each_choice_of_instructions_but_not_for_each_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def place(*instructions: str) -> str:
        (kept,) = llama._cache(Path(sys.executable), llama.cmake_options(instructions)).values()
        return kept

    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path))
    here = place("AVX")
    assert Path(here).parent == tmp_path
    assert place("AVX", "AVX2") != here
    copied = shutil.copy(processor.HOOK, tmp_path)
    monkeypatch.setattr(processor, "HOOK", Path(copied))
    assert place("AVX") == here
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    assert llama._cache(Path(sys.executable), []) == {}


def test_the_stamp_of_a_setup_names_the_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    stamps = set()
    for executed in (frozenset({"AVX"}), frozenset({"AVX", "AVX512"}), None):
        monkeypatch.setattr(setup, "_instructions", lambda found=executed: found)
        stamps.add(setup._fingerprint("run"))
    assert len(stamps) == 3 and any(stamp.endswith(" AVX AVX512") for stamp in stamps)


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
        assert go_on.wait(60)
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
    first.join(60)
    second.join(60)
    assert made == ["run"] and not second.is_alive()
