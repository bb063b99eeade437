"""The wheel, installed into an environment without the sources: `sluice up` in an empty folder."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from infra import place
from infra.setup import store
from tests.e2e import people
from tests.e2e.place import own_environment
from tests.e2e.system import ROOT, System
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.one_machine("how it is installed")]


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel, and a user's home."""

    environment: Path
    home: Path

    @property
    def sluice(self) -> Path:
        return self.environment / "bin" / "sluice"

    @property
    def packages(self) -> Path:
        return next((self.environment / "lib").glob("python3*")) / "site-packages"

    def variables(self, **more: str) -> dict[str, str]:
        bare = {name: value for name, value in own_environment().items() if not name.startswith(("XDG_", "PYTHON"))}
        return bare | {"HOME": str(self.home), "PATH": "/usr/bin:/bin"} | more

    def run(self, *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.sluice, *words],
            cwd=self.home,
            env=self.variables(**more),
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The packages below it are those of the tests' own environment, in place of minutes of compiling. A path in a
    `.pth` file is searched, and its own `.pth` files are not read: so the checkout is not found through it."""
    folder = tmp_path_factory.mktemp("installed")
    one = Installed(folder / "venv", folder / "home")
    one.home.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", one.environment], check=True)
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", one.sluice.with_name("python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", "--no-compile", wheel], check=True)
    (own,) = {path for path in map(Path, sys.path) if path.name == "site-packages" and (path / "llama_cpp").is_dir()}
    (one.packages / "packages-of-the-tests.pth").write_text(f"{own}\n")
    return one


@pytest.fixture(scope="module")
def started(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Where the store's binary is in the user's cache already, because tests do not download it."""
    cached = store.binary(installed.home / ".cache" / "sluice")
    cached.parent.mkdir(parents=True)
    cached.symlink_to(store.binary(place.tools()))
    data = installed.home / ".local" / "share" / "sluice"
    data.parent.mkdir(parents=True)
    system = System(data, {"SLUICE_DATA_DIR": "", "HOME": str(installed.home)})
    system.environment |= installed.variables()
    system.command, system.folder = [str(installed.sluice), "up"], tmp_path_factory.mktemp("empty")
    before = _files(installed.packages)
    try:
        yield system.start()
        assert list(system.folder.iterdir()) == [] and _files(installed.packages) == before
    finally:
        system.discard()


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.suffix != ".pyc" and path.name != "__pycache__"}


def test_sluice_up_in_an_empty_folder_answers_from_the_demo_model(started: System, installed: Installed) -> None:
    assert f"data:  {started.data_dir} " in started.output()
    assert "admin: sluice admin create you@example.org" in started.output() and "`sluice demo`" in started.output()
    answer = people.newcomer(started.base_url).openai.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": "What is the capital of France?"}]
    )
    assert answer.choices[0].message.content == "The capital of France is Paris."
    assert str(ROOT) not in (started.data_dir / "run" / "supervisord.conf").read_text().replace(sys.prefix, "")


def test_its_pages_have_their_words_and_their_styles(started: System) -> None:
    for language in ("en", "ja", "zh-Hant"):
        page = requests.get(started.base_url, headers={"Accept-Language": language}, timeout=30)
        assert page.status_code == 200 and f'<html lang="{language}"' in page.text
        styles = page.text.split('rel="stylesheet" href="', 1)[1].split('"', 1)[0]
        assert "--space" in requests.get(started.base_url + styles, timeout=30).text


def test_operators_commands_find_the_running_store_from_any_folder(started: System, installed: Installed) -> None:
    person = people.newcomer(started.base_url)
    done = installed.run("users", "list")
    assert person.email in done.stdout, done.stderr


def test_a_second_start_on_the_same_data_names_the_command_that_works_here(
    started: System, installed: Installed
) -> None:
    done = installed.run("up")
    assert done.returncode == 1
    assert "another `sluice up` runs on" in done.stderr and "PORT=8090 sluice up" in done.stderr


def test_without_a_network_the_first_start_says_what_is_missing(installed: Installed, tmp_path: Path) -> None:
    for name, does in (("node", ""), ("npm", "echo npm error code ENOTFOUND; exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    done = installed.run("up", PORT=str(free_port()), HOME=str(tmp_path), PATH=f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "the store could not be downloaded; is there a network?" in done.stderr and "ENOTFOUND" in done.stderr


def test_ctrl_c_while_the_store_is_fetched_stops_and_leaves_nothing_half_done(
    installed: Installed, tmp_path: Path
) -> None:
    for name, does in (("node", ""), ("npm", "sleep 60")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    system = System(tmp_path / "data")
    system.environment |= installed.variables(HOME=str(tmp_path), PATH=f"{tmp_path}:/usr/bin:/bin")
    system.command, system.folder = [str(installed.sluice), "up"], tmp_path
    system.launch()
    cache = tmp_path / ".cache" / "sluice"
    system.wait_until(lambda: cache.is_dir() and list(cache.glob("tmp*")))
    assert system.ctrl_c() == 0
    assert "sluice: stopped" in system.output() and "could not be downloaded" not in system.output()
    assert [path for path in cache.rglob("*") if path.is_file() or path.name.startswith("tmp")] == []


def test_the_version_is_told_and_what_needs_the_sources_says_so(installed: Installed) -> None:
    from sluice import __version__

    assert installed.run("--version").stdout == f"sluice, version {__version__}\n"
    done = installed.run("deploy")
    assert done.returncode == 1 and "works in a checkout only" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_completes_commands(installed: Installed, shell: str) -> None:
    script = installed.run("completion", shell).stdout
    assert f"_SLUICE_COMPLETE={shell}_complete" in script
    if shell != "bash" or shutil.which("bash") is None:
        return
    asks = f"{script}\nCOMP_WORDS=(sluice de); COMP_CWORD=1; _sluice_completion sluice; echo ${{COMPREPLY[@]}}"
    path = f"{installed.sluice.parent}{os.pathsep}/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-c", asks], env=installed.variables(PATH=path), capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["demo", "deploy", "destroy"], done.stderr
