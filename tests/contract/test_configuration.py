"""The settings and their tables in docs/api.md and docs/local.md say the same."""

import re
from typing import Any

import pytest
from pydantic import BaseModel

from functions.inference.settings import InferenceSettings
from infra.local import config
from sluice import settings
from sluice.environment import PREFIX, Settings
from tests.contract import api_md, markdown

OURS = tuple(kind for kind in vars(settings).values() if isinstance(kind, type) and issubclass(kind, Settings))
CLASSES: tuple[type[BaseModel], ...] = (*OURS, InferenceSettings)
OPERATORS = {
    row[0].strip("`"): row[1].strip("`")
    for row in markdown.rows(markdown.section(markdown.read("docs/local.md"), "Settings"))
}
DEFAULTS = api_md.configuration()
LAUNCHERS = {"SLUICE_CONFIG", "SLUICE_START_SECONDS", "SLUICE_SWEEP_SECONDS"}  # read by no settings class
SET_BY_US = {"SLUICE_ADMIN_COMMAND", "SLUICE_LOCAL"}  # by the launcher, in every process of a local run


def variables(kind: type[BaseModel]) -> dict[str, Any]:
    """Environment variable → default."""
    prefix = PREFIX if issubclass(kind, Settings) else str(kind.model_config.get("env_prefix", ""))
    found: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        alias = field.validation_alias
        names = [str(choice) for choice in getattr(alias, "choices", [])] or [(prefix + name).upper()]
        found |= dict.fromkeys(names, field.default)
    return found


def known(variable: str) -> list[Any]:
    """The defaults of every settings class that reads it."""
    return [found[variable] for kind in CLASSES if variable in (found := variables(kind))]


def test_every_setting_is_in_a_table_or_set_by_the_template() -> None:
    set_in_template = set(re.findall(r"\bSLUICE_[A-Z_]+", (markdown.ROOT / "template.yaml").read_text()))
    ours = {variable for kind in OURS for variable in variables(kind)}
    assert ours - set_in_template - SET_BY_US - DEFAULTS.keys() - OPERATORS.keys() == set()


@pytest.mark.parametrize(
    "variable", sorted(name for name in DEFAULTS | OPERATORS if name.startswith("SLUICE_") and name not in LAUNCHERS)
)
def test_setting_is_read_and_has_the_printed_default(variable: str) -> None:
    found = known(variable)
    assert found, "no settings class reads it"
    spoken = {"the bundled demo model": "demo", "`http://127.0.0.1:$PORT`": "http://127.0.0.1:8080", "on": "True"}
    spoken |= {"none": "", "the model's": "None"}
    printed = (OPERATORS | DEFAULTS)[variable]
    expected = spoken.get(printed, printed.replace("$PORT", "8080"))
    assert {str(default) for default in found} == {expected}


def test_launchers_own_defaults_are_the_printed_ones() -> None:
    read = config.read({})
    assert str(read.port) == DEFAULTS["PORT"]
    assert read.host == "127.0.0.1"
    assert read.base_url == DEFAULTS["SLUICE_BASE_URL"].replace("$PORT", DEFAULTS["PORT"])
    assert read.data_dir.name == DEFAULTS["SLUICE_DATA_DIR"]
    assert read.mail == DEFAULTS["SLUICE_MAIL"]
    assert read.store_url is None, DEFAULTS["AWS_ENDPOINT_URL"]


def test_another_store_is_one_variable_away() -> None:
    assert config.read({"AWS_ENDPOINT_URL": "http://127.0.0.1:8000"}).store_url == "http://127.0.0.1:8000"
