"""Settings from environment variables, checked by pydantic.

This replaces pydantic-settings: we need one of its sources (environment variables), and the others (files, secrets,
clouds, command lines) cost 70 ms of CPU to import at each cold start (docs/adr/0055-cold-starts.md).
"""

import os
from typing import Any

from pydantic import BaseModel, ConfigDict

PREFIX = "SLUICE_"


class Settings(BaseModel):
    """A field's variable is `SLUICE_` and its name in capitals. Raises ValidationError for a value of a wrong form."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)  # a function uses few of them

    def __init__(self, **given: Any) -> None:
        names = {name: PREFIX + name.upper() for name in type(self).model_fields}
        values = {name: os.environ[variable] for name, variable in names.items() if variable in os.environ}
        super().__init__(**{**values, **given})
