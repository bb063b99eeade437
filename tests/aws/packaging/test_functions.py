"""Each packaged function is called in a process that has only its folder and the layer."""

import json
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sluice.adapters.tokens.keys import ensure_keys
from tests.aws.built import LAYER, built, layer_path
from tests.aws.conftest import missing
from tests.aws.runtime import tools
from tests.conftest import aws_environment
from tests.events import agrees, event
from tests.store_process import running_store
from tests.tables import create_missing
from tests.unit.aws.template import ZIPPED

CHILD = Path(__file__).with_name("child.py")
UNZIPPED_BYTES = 250 * 1024 * 1024  # Lambda's limit, of a function and all its layers together
ZIPPED_BYTES = 50 * 1024 * 1024  # what may be uploaded without a bucket; and a layer that grows past it loads slowly


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Variables as on Lambda, but with keys in a folder, a fixed base URL, an empty store and no model."""
    data_dir = tmp_path_factory.mktemp("data")
    ensure_keys(data_dir)
    with running_store() as (url, _pid):
        aws = aws_environment(url)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in aws.items():
                patch.setenv(name, value)
            from botocore.session import get_session

            client: Any = get_session().create_client("dynamodb")
            create_missing(client, "sluice-")
            client.close()
        yield {
            **aws,
            "PATH": os.environ["PATH"],
            "TZ": "UTC",
            "AWS_LAMBDA_FUNCTION_NAME": "function",
            "SLUICE_DATA_DIR": str(data_dir),
            "SLUICE_BASE_URL": "https://abc123.execute-api.eu-west-1.amazonaws.com/live",
            "SLUICE_INFERENCE_URL": "http://127.0.0.1:9",
            "SLUICE_MAIL": "ses",
        }


def ask(build: Path, name: str, event: dict[str, Any], environment: dict[str, str]) -> Any:
    """The function's answer to the event. Only its build folder, the layer and the standard library may be imported."""
    folder, layer = build / name, layer_path(build)
    words = [tools.PYTHON, "-I", "-S", "-B", str(CHILD), str(folder), str(layer), ZIPPED[name]["Handler"]]
    variables = ZIPPED[name]["Environment"]["Variables"]
    done = subprocess.run(
        words,
        input=json.dumps(event),
        capture_output=True,
        text=True,
        timeout=240,
        cwd="/",
        env=environment | {"SLUICE_SERVICE": variables["SLUICE_SERVICE"]},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    allowed = (str(folder), str(layer), told["standard"], str(CHILD))
    strangers = [file for file in told["files"] if not file.startswith(allowed) or "site-packages" in file]
    assert strangers == [] and any(file.startswith(str(layer)) for file in told["files"])
    return told["answer"]


@pytest.mark.parametrize("name", sorted(ZIPPED))
def test_a_function_answers_its_event_from_its_package(name: str, build: Path, environment: dict[str, str]) -> None:
    answer = ask(build, name, event(name), environment)
    assert agrees(name, answer), answer


def test_every_function_of_the_template_was_built(build: Path) -> None:
    folders = {path.name for path in build.iterdir() if path.is_dir()}
    assert folders >= {*ZIPPED, LAYER}


def test_packages_are_within_lambdas_size_limits(
    build: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prints the sizes. The layer's size counts for every function."""
    layer_bytes = _bytes_of(build / LAYER)
    zipped = _zip_bytes(build / LAYER, tmp_path / "layer.zip")
    with capsys.disabled():
        print(f"\n{LAYER}: {layer_bytes / 2**20:.1f} MiB, zipped {zipped / 2**20:.1f} MiB")
        for name in sorted(ZIPPED):
            print(f"{name}: {_bytes_of(build / name) / 2**10:.0f} KiB")
    assert zipped < ZIPPED_BYTES
    assert all(layer_bytes + _bytes_of(build / name) < UNZIPPED_BYTES for name in ZIPPED)


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _zip_bytes(folder: Path, target: Path) -> int:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path in folder.rglob("*"):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return target.stat().st_size


def test_no_function_contains_a_package_of_the_layer(build: Path) -> None:
    for name in ZIPPED:
        inside = {path.name for path in (build / name).iterdir()} - {"__pycache__", "requirements.txt"}
        # python-docx wants the first as well, and stripe all three, the latter two for requests
        shared = ("typing_extensions", "urllib3", "idna")
        inside = {one for one in inside if not one.startswith(shared)}
        assert not inside & {path.name for path in layer_path(build).iterdir()}, name


GLIBC = re.compile(r"GLIBC_2\.(\d+)")
RUNTIMES_GLIBC = 34  # 2.34: the Amazon Linux 2023 that Python 3.13's runtime is on


def elf(path: Path, *options: str) -> str:
    if shutil.which("readelf") is None:
        missing("no readelf, which comes with binutils")
    return subprocess.run(["readelf", *options, path], capture_output=True, text=True, check=True).stdout


def test_compiled_code_runs_with_the_runtimes_glibc(build: Path) -> None:
    """Code that was compiled on the building machine might need a newer glibc than Lambda has."""
    newest = {
        path.name: max((int(minor) for minor in GLIBC.findall(elf(path, "--version-info"))), default=0)
        for path in (build / LAYER).rglob("*.so*")
    }
    assert len(newest) > 4
    assert {name: minor for name, minor in newest.items() if minor > RUNTIMES_GLIBC} == {}


def test_the_layer_for_arm64_has_code_for_that_processor_only() -> None:
    """arm64 is the default, so its wheels must be chosen even on a machine with another processor."""
    layer = layer_path(built("arm64"))
    libraries = sorted(layer.rglob("*.so*"))
    machines = {line.split()[-1] for each in libraries for line in elf(each, "-h").splitlines() if "Machine:" in line}
    assert len(libraries) > 4 and machines == {"AArch64"}
