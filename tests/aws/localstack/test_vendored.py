"""Each function's zip for LocalStack answers an event alone in an empty folder, without a layer."""

import json
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.aws import vendor
from infra.aws.localstack import PARAMETERS
from infra.aws.transform import read, transform
from tests.aws.packaging.test_functions import CHILD, environment
from tests.aws.runtime import tools
from tests.events import agrees, event
from tests.unit.aws.template import ZIPPED

__all__ = ["environment"]
UNZIPPED_BYTES = 250 * 1024 * 1024  # Lambda's limit


@pytest.fixture(scope="module")
def template(build: Path) -> dict[str, Any]:
    return read(build / "template.yaml")


@pytest.fixture(scope="module")
def zips(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("zips")
    yield folder
    shutil.rmtree(folder)  # half a gigabyte


@pytest.fixture
def unzipped(build: Path, tmp_path: Path, zips: Path, template: dict[str, Any], request: pytest.FixtureRequest) -> Path:
    """The function's zip, in an empty folder."""
    name = request.getfixturevalue("name")
    adapted = vendor.is_adapted(template["Resources"][name])
    archive = vendor.vendor(build, name, zips / f"{name}.zip", adapted=adapted)
    folder = tmp_path / "task"
    with zipfile.ZipFile(archive) as opened:
        assert sum(one.file_size for one in opened.infolist()) < UNZIPPED_BYTES
        opened.extractall(folder)
    return folder


def ask(folder: Path, handler: str, event: dict[str, Any], environment: dict[str, str]) -> Any:
    nowhere = str(folder / "no-layer")
    words = [tools.PYTHON, "-I", "-S", "-B", str(CHILD), str(folder), nowhere, handler]
    done = subprocess.run(
        words,
        input=json.dumps(event),
        capture_output=True,
        text=True,
        timeout=240,
        cwd="/",
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    allowed = (str(folder), told["standard"], str(CHILD))
    assert [file for file in told["files"] if not file.startswith(allowed) or "site-packages" in file] == []
    return told["answer"]


@pytest.mark.parametrize("name", sorted(ZIPPED))
def test_a_vendored_zip_answers_without_a_layer(
    name: str, unzipped: Path, template: dict[str, Any], environment: dict[str, str]
) -> None:
    changed = vendor.without_layers(template)["Resources"][name]["Properties"]
    answer = ask(unzipped, changed.get("Handler", ZIPPED[name]["Handler"]), event(name), environment)
    assert agrees(name, answer), answer


def test_the_deployed_template_has_no_layer_no_image_and_no_adapter(template: dict[str, Any]) -> None:
    source = vendor.without_layers(template)
    text = json.dumps(source)
    assert "CoreLayer" not in text and "LambdaAdapter" not in text and "AWS_LWA" not in text
    assert [name for name, one in source["Resources"].items() if one["Type"] == "AWS::Serverless::LayerVersion"] == []


def test_the_transformed_template_is_valid_for_cloudformation(
    template: dict[str, Any], build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transformed with LocalStack's parameters, it has all functions; the image function depends on a condition."""
    monkeypatch.setattr(vendor, "vendor", lambda build, name, target, adapted: target)  # the zips are tested above
    packaged = vendor.packaged(template, build, tmp_path, lambda archive: f"s3://packages/{archive.name}")
    made = transform(packaged, PARAMETERS)["Resources"]
    functions = {name: one for name, one in made.items() if one["Type"] == "AWS::Lambda::Function"}
    assert set(functions) == {*ZIPPED, "InferenceFunction"}
    assert functions["InferenceFunction"]["Condition"] == "OwnModel"
    for name in ZIPPED:
        assert functions[name]["Properties"]["Code"] == {"S3Bucket": "packages", "S3Key": f"{name}.zip"}
        assert "Layers" not in functions[name]["Properties"]
    assert functions["GatewayFunction"]["Properties"]["Handler"] == vendor.BUFFERED_HANDLER


def test_the_template_itself_is_not_changed(template: dict[str, Any]) -> None:
    before = json.dumps(template, default=str)
    vendor.without_layers(template)
    assert json.dumps(template, default=str) == before
