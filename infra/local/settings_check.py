"""Checks the settings of every function."""

from collections.abc import Callable
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


def _problems_of(kind: Callable[[], Any]) -> list[str]:
    try:
        kind()
    except ValidationError as exc:
        return [f"{_variable(error['loc'])}: {error['msg']}, but it is {error['input']!r}" for error in exc.errors()]
    return []


def _variable(place: tuple[Any, ...]) -> str:
    name = str(place[0]).upper()
    return name if name.startswith("SLUICE_") else f"SLUICE_{name}"
