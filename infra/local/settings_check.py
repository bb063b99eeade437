"""Checks the settings of every function."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError


def problems() -> list[str]:
    """One line per wrong variable; empty when every function can start with this environment."""
    from functions.inference.settings import InferenceSettings
    from sluice import settings

    found: dict[str, None] = {}
    every: tuple[type[BaseModel], ...] = (
        settings.Common,
        settings.Accounts,
        settings.Mailer,
        settings.Bounces,
        settings.Gateway,
        settings.Documents,
        InferenceSettings,
    )
    for kind in every:
        found |= dict.fromkeys(_problems_of(kind))
    return list(found)


def _problems_of(kind: type[BaseModel]) -> list[str]:
    try:
        kind()
    except ValidationError as exc:
        prefix = str(kind.model_config.get("env_prefix") or "SLUICE_")
        return [f"{_variable(prefix, error['loc'])}: {_what_is_wrong(error)}" for error in exc.errors()]
    return []


def _variable(prefix: str, place: tuple[Any, ...]) -> str:
    name = str(place[0]).upper()
    return name if name.startswith("SLUICE_") else prefix + name


def _what_is_wrong(error: Mapping[str, Any]) -> str:
    ours = error["msg"].removeprefix("Value error, ")  # of a validator, which names the value
    return ours if ours != error["msg"] else f"{ours}, but it is {error['input']!r}"
