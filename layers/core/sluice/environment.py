"""Settings from environment variables: pydantic's own checks, and nothing else.

In the place of pydantic-settings, whose sources (files, secrets, clouds, command lines) cost 70 ms of CPU to import at
each cold start and of which this is the one we use (docs/adr/0055-cold-starts.md).
"""

import os
from typing import Any

from pydantic import BaseModel, ConfigDict

PREFIX = "SLUICE_"


class Settings(BaseModel):
    """Each field's variable is its name in capitals behind `SLUICE_`. Raises ValidationError for what it cannot be."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)  # each function reads one or two

    def __init__(self, **given: Any) -> None:
        names = {name: PREFIX + name.upper() for name in type(self).model_fields}
        found = {name: os.environ[variable] for name, variable in names.items() if variable in os.environ}
        super().__init__(**{**found, **given})
