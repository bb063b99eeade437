"""Checks the Dockerfile without building the image."""

import re
import tomllib
from pathlib import Path

from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "functions" / "inference" / "Dockerfile").read_text()
FINAL = DOCKERFILE.rsplit("\nFROM ", 1)[1]


def test_the_images_pins_are_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [*project["dependencies"], *project["optional-dependencies"]["inference"]]
    pinned = {re.sub(r"\[.*?\]", "", line) for line in listed}
    lines = (ROOT / "functions" / "inference" / "requirements.txt").read_text().splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    assert wanted
    assert set(wanted) <= pinned
    assert (ROOT / "infra" / "setup" / "llama.lock").read_text().split()[0] in pinned


def test_the_image_installs_nothing_without_a_hash() -> None:
    assert DOCKERFILE.count("pip install") == DOCKERFILE.count("--require-hashes") == 3


def test_the_final_stage_is_unprivileged_and_has_no_build_tools() -> None:
    assert re.search(r"^USER [1-9]\d*$", FINAL, re.MULTILINE)
    assert not re.search(r"build-essential|cmake|pip install", FINAL)
    assert "STOPSIGNAL SIGTERM" in FINAL


def test_the_build_is_portable_and_has_a_gpu_variant() -> None:
    assert DOCKERFILE.count("-DGGML_NATIVE=OFF") == 2
    assert "AS build-cuda" in DOCKERFILE
    assert "AS run-cuda" in DOCKERFILE


def test_the_image_copies_only_what_the_context_lets_through() -> None:
    """The list is at the context's root, because SAM may build without BuildKit, which alone knows another place."""
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignore[0] == "*"
    assert [line for line in ignore[1:] if line.startswith("!")] == [
        "!functions/inference", "!infra/setup/*.lock", "!model/*.gguf", "!models/*.gguf",
    ]  # fmt: skip
    template = yaml_parse((ROOT / "template.yaml").read_text())["Resources"]["InferenceFunction"]["Metadata"]
    assert template["DockerContext"] == "." and not list((ROOT / "functions").rglob("*.dockerignore"))
    copied = re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE)
    assert {"functions/inference", "infra/setup/tools.lock", "${MODEL}"} == set(copied)


def test_the_package_imports_nothing_of_the_rest_of_the_project() -> None:
    for module in (ROOT / "functions" / "inference").glob("*.py"):
        assert not re.search(r"^\s*(from|import) (sluice|infra)\b", module.read_text(), re.MULTILINE), module


def test_on_lambda_the_model_may_load_longer_than_init_and_is_asked_by_http_whether_it_has() -> None:
    """Of the adapter's variables: with a model that loads for longer than 10 s, Lambda would start over."""
    given = dict(re.findall(r"(AWS_LWA_\w+)=(\S+)", DOCKERFILE))
    assert given["AWS_LWA_ASYNC_INIT"] == "true"
    assert given["AWS_LWA_READINESS_CHECK_PATH"] == "/healthz"
    assert given.get("AWS_LWA_READINESS_CHECK_PROTOCOL", "http") == "http"
