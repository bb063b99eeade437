"""Checks the Dockerfile without building the image."""

import re
import tomllib
from pathlib import Path

import pytest
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "functions" / "inference"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
ACCELERATORS = {"cuda": "nvidia/cuda", "vulkan": "python:3.11-slim-trixie"}
"""The image that each target is built on."""
FILES = {"cpu": DOCKERFILE} | {name: (FOLDER / f"Dockerfile.{name}").read_text() for name in ACCELERATORS}
each_target = pytest.mark.parametrize("file", FILES.values(), ids=FILES)


def test_the_images_pins_are_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {re.sub(r"\[.*?\]", "", line) for line in project["dependencies"]}
    lines = (FOLDER / "requirements.txt").read_text().splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    assert wanted
    assert set(wanted) <= pinned
    assert (ROOT / "infra" / "setup" / "llama.lock").read_text().split()[0] in pinned


@each_target
def test_the_image_installs_nothing_without_a_hash(file: str) -> None:
    assert file.count("pip install") == file.count("--require-hashes") == 3


@each_target
def test_the_final_stage_is_unprivileged_and_has_no_build_tools(file: str) -> None:
    final = file.rsplit("\nFROM ", 1)[1]
    assert re.search(r"^USER [1-9]\d*$", final, re.MULTILINE)
    assert not re.search(r"build-essential|cmake|pip install", final)
    assert "STOPSIGNAL SIGTERM" in final


@pytest.mark.parametrize("name", FILES)
def test_a_file_has_the_stages_of_its_own_target_only(name: str) -> None:
    """SAM's legacy builder builds every stage of a file, also those that the last one does not use."""
    file = FILES[name]
    bases = re.findall(r"^FROM (\S+)", file, re.MULTILINE)
    assert len(bases) == 2 and "${" not in "".join(bases)
    assert all(base.startswith(ACCELERATORS.get(name, "python:3.11-slim-bookworm")) for base in bases)
    assert file.count("-DGGML_NATIVE=OFF") == 1
    backends = [name.upper()] if name in ACCELERATORS else ["BACKEND_DL", "CPU_ALL_VARIANTS"]
    assert re.findall(r"-DGGML_(\w+)=ON", file) == backends
    assert ("SLUICE_INFERENCE_GPU_LAYERS=-1" in file) == (name in ACCELERATORS)


@pytest.mark.parametrize("name", ACCELERATORS)
def test_the_files_of_the_targets_differ_only_in_their_bases_and_in_what_lambda_needs(name: str) -> None:
    cpu, other = ([line for line in FILES[one].splitlines() if line and line[0] != "#"] for one in ("cpu", name))
    only_other = [line for line in other if line not in cpu]
    only_cpu = [line for line in cpu if line not in other]
    theirs = "nvidia|CUDA|GPU|VULKAN|vulkan|trixie|python3.11|SLUICE_INFERENCE_BIND"
    assert all(re.search(theirs, line) for line in only_other), only_other
    assert all(re.search("bookworm|NATIVE|libgomp1|adapter|LWA|SLUICE_INFERENCE_BIND", line) for line in only_cpu)


def test_the_image_copies_only_what_the_context_lets_through() -> None:
    """The list is at the context's root, because SAM may build without BuildKit, which alone knows another place."""
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignore[0] == "*"
    assert [line for line in ignore[1:] if line.startswith("!")] == [
        "!functions/inference", "!infra/setup/*.lock", "!model/*.gguf", "!models/*.gguf",
    ]  # fmt: skip
    metadata = yaml_parse((ROOT / "template.yaml").read_text())["Resources"]["InferenceFunction"]["Metadata"]
    assert (metadata["DockerContext"], metadata["Dockerfile"]) == (".", "functions/inference/Dockerfile")
    assert not list((ROOT / "functions").rglob("*.dockerignore"))
    for file in FILES.values():
        copied = re.findall(r"^COPY (?!--from)(\S+) ", file, re.MULTILINE)
        assert {"functions/inference", "infra/setup/tools.lock", "${MODEL}"} == set(copied)


def test_the_package_imports_nothing_of_the_rest_of_the_project() -> None:
    for module in FOLDER.glob("*.py"):
        assert not re.search(r"^\s*(from|import) (sluice|infra)\b", module.read_text(), re.MULTILINE), module


def test_on_lambda_the_model_may_load_longer_than_init_and_is_asked_by_http_whether_it_has() -> None:
    """Of the adapter's variables: with a model that loads for longer than 10 s, Lambda would start over."""
    given = dict(re.findall(r"(AWS_LWA_\w+)=(\S+)", DOCKERFILE))
    assert given["AWS_LWA_ASYNC_INIT"] == "true"
    assert given["AWS_LWA_READINESS_CHECK_PATH"] == "/healthz"
    assert given.get("AWS_LWA_READINESS_CHECK_PROTOCOL", "http") == "http"
