"""Which models the upstream serves, remembered for a few seconds to save a round trip."""

import time
from typing import Any

from sluice.domain.errors import ModelNotFound, ModelUnavailable, Unavailable, UpstreamTimeout
from sluice.ports.gateway import Upstream

FRESH_SECONDS = 10.0
RETRY_SECONDS = 0.5  # after a failure with nothing remembered


class ModelList:
    """Keeps the last good list while the model server is down, because each request gets its own error then."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._models: dict[str, dict[str, Any]] = {}
        self._asked = float("-inf")

    def all(self) -> list[dict[str, Any]]:
        """Errors: ModelUnavailable."""
        pause = FRESH_SECONDS if self._models else RETRY_SECONDS
        if time.monotonic() - self._asked > pause or not self._models:
            self._asked = time.monotonic()
            try:
                self._models = {str(model["id"]): model for model in self._upstream.models()}
            except (Unavailable, UpstreamTimeout) as exc:
                if not self._models:
                    raise ModelUnavailable() from exc
        return list(self._models.values())

    def names(self, capability: str) -> list[str]:
        """Names of the models with this capability, or that state no capabilities. Errors: ModelUnavailable."""
        return [str(model["id"]) for model in self.all() if capability in model.get("capabilities", [capability])]

    def get(self, name: str) -> dict[str, Any]:
        """Errors: ModelNotFound, ModelUnavailable."""
        found = self._models.get(name)
        if found is None or time.monotonic() - self._asked > FRESH_SECONDS:
            found = next((model for model in self.all() if model["id"] == name), None)
        if found is None:
            raise ModelNotFound(f"The model {name!r} does not exist or you do not have access to it.")
        return found
