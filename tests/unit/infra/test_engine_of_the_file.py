"""The bundled engine serves the models that sluice.toml names."""

from pathlib import Path

import pytest

from infra.doctor import configuration
from infra.local import sluice_toml
from infra.local.errors import LaunchError
from infra.local.launcher import Launcher
from infra.upgrading import Upgrade

ENGINE = '[[upstreams]]\nname = "local"\nkind = "engine"\nmodels = ["demo", "all-minilm-l6-v2"]\n'
REMOTE = '[[upstreams]]\nname = "cloud"\nkind = "openai"\nurl = "https://api.example.com/v1"\n'


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "sluice.toml"
    monkeypatch.setenv("SLUICE_CONFIG", str(path))
    monkeypatch.setenv("SLUICE_DATA_DIR", str(tmp_path / "data"))
    for name in sluice_toml.NAMED_BY_UPSTREAMS:
        monkeypatch.delenv(name, raising=False)
    path.write_text(ENGINE)
    return path


def variables(file: Path, **env: str) -> dict[str, str]:
    return sluice_toml.engine_variables(file, sluice_toml.read(file)[0], env)


def test_its_models_and_pinned_ones_are_variables_of_the_engine(file: Path) -> None:
    file.write_text(ENGINE + 'pinned = ["all-minilm-l6-v2"]\n')
    assert variables(file) == {"SLUICE_MODELS": "demo,all-minilm-l6-v2", "SLUICE_INFERENCE_PINNED": "all-minilm-l6-v2"}


@pytest.mark.parametrize("text", ["", '[site]\nname = "x"\n', REMOTE, ENGINE.replace("models", "# models")])
def test_a_file_that_names_no_model_of_the_engine_changes_nothing(file: Path, text: str) -> None:
    file.write_text(text)
    assert variables(file) == {}


def test_a_file_without_upstreams_leaves_the_environment_in_force(file: Path) -> None:
    file.write_text('[site]\nname = "x"\n')
    assert variables(file, SLUICE_MODEL="demo") == {}


@pytest.mark.parametrize("name", sluice_toml.NAMED_BY_UPSTREAMS)
@pytest.mark.parametrize("text", [ENGINE, REMOTE])
def test_a_second_word_about_models_is_refused_by_name(
    file: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    file.write_text(text)
    monkeypatch.setenv(name, "demo")
    with pytest.raises(LaunchError, match=f"names upstreams, and {name} is set as well"):
        Launcher(Upgrade)
    (problem,) = [finding for finding in configuration.settings() if finding.kind == "problem"]
    assert f"{name} is set as well" in problem.text


def test_the_doctor_looks_at_each_model(file: Path) -> None:
    assert [(one.kind, one.text.partition(":")[0]) for one in configuration.model()] == [
        ("ok", "The model demo"),
        ("ok", "The embedding model all-minilm-l6-v2"),
    ]
    file.write_text(ENGINE.replace("all-minilm-l6-v2", "qwen2.5-0.5b-instruct"))
    (_demo, *_embeddings, missing) = sorted(configuration.model(), key=lambda one: one.kind == "problem")
    assert missing.kind == "problem" and "sluice model pull qwen2.5-0.5b-instruct" in missing.text
