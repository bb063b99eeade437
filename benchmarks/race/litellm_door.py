"""Runs in LiteLLM's process: whose key it is with which limits, and a record of each request's spend in a file.

LiteLLM's own keys and spend log need PostgreSQL and a query engine that its installer downloads from elsewhere. This
stands for both, and costs it less: no read for the key, and a line in a file for the record.
"""

import json
import os
from pathlib import Path
from typing import Any

from fastapi import HTTPException, Request
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import UserAPIKeyAuth

LIMITED, PLENTY = 20, 1_000_000


async def check(request: Request, api_key: str) -> UserAPIKeyAuth:
    """`sk-limited` has 20 requests a minute, another `sk-` key all it wants."""
    if not api_key.startswith("sk-"):
        raise HTTPException(401, "no such key")
    rpm = LIMITED if api_key.startswith("sk-limited") else PLENTY
    return UserAPIKeyAuth(api_key=api_key, rpm_limit=rpm, tpm_limit=1_000 * PLENTY, max_parallel_requests=1_000)


class SpendLog(CustomLogger):
    def __init__(self) -> None:
        super().__init__()
        # open as long as the process lives
        self._file = Path(os.environ["SPEND_LOG"]).open("a", buffering=1)  # noqa: SIM115

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        usage = getattr(response_obj, "usage", None)
        record = {
            "key": kwargs.get("litellm_params", {}).get("metadata", {}).get("user_api_key"),
            "cost": kwargs.get("response_cost"),
            "tokens": getattr(usage, "total_tokens", None),
            "seconds": (end_time - start_time).total_seconds(),
        }
        self._file.write(json.dumps(record) + "\n")


spend_log = SpendLog()
