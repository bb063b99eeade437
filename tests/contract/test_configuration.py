"""docs/api.md's configuration table and the settings say the same."""

from typing import Any

import pytest
from pydantic import BaseModel

from functions.inference.settings import InferenceSettings
from infra.local import config
from sluice import settings
from sluice.environment import PREFIX, Settings
from tests.contract import api_md

CLASSES: tuple[type[BaseModel], ...] = (
    settings.Common,
    settings.Accounts,
    settings.Keys,
    settings.Mailer,
    settings.Gateway,
    settings.Documents,
    InferenceSettings,
)
DEFAULTS = api_md.configuration()


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


@pytest.mark.parametrize("variable", sorted(name for name in DEFAULTS if name.startswith("SLUICE_")))
def test_setting_is_read_and_has_the_printed_default(variable: str) -> None:
    found = known(variable)
    assert found, "no settings class reads it"
    spoken = {"the bundled demo model": "demo", "`http://127.0.0.1:$PORT`": "http://127.0.0.1:8080", "on": "True"}
    printed = DEFAULTS[variable]
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
