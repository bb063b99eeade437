"""A realistic event for each function, by its logical id: for `sam local invoke`, and for the tests that hold it true.

The files are what API Gateway, a function URL, a stream, a queue, a topic or a schedule sends. `ANSWERS` is what each
function answers while the store is empty, and no model but that of the inference function runs.
"""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
NOTHING_FAILED: dict[str, Any] = {"batchItemFailures": []}
REFUSED: dict[str, Any] = {"statusCode": 401}  # no such session, API token or account
ANSWERS: dict[str, dict[str, Any]] = {
    "FactorsFunction": {"statusCode": 401},
    "RegistrationFunction": {"statusCode": 202},
    "VerificationFunction": {"statusCode": 400},
    "AccountsFunction": REFUSED,
    "UsageFunction": REFUSED,
    "TokensFunction": {"statusCode": 200},
    "GatewayFunction": REFUSED,
    "FilesFunction": REFUSED,
    "WebhooksFunction": REFUSED,
    "ChatsFunction": REFUSED,
    "AdminFunction": REFUSED,
    "WebFunction": {"statusCode": 200},
    "InferenceFunction": {"statusCode": 200},
    "SearchFunction": {"statusCode": 200},
    "MailerFunction": NOTHING_FAILED,
    "MeteringFunction": NOTHING_FAILED,
    "IngestionFunction": NOTHING_FAILED,
    "WorkerFunction": NOTHING_FAILED,
    "EventsFunction": NOTHING_FAILED,
    "SweeperFunction": {"settled": 0, "failed": 0, "erased": 0},
    "BouncesFunction": {"noted": 0, "ignored": 1},
}


def event(function: str) -> dict[str, Any]:
    return dict(json.loads((FOLDER / f"{function}.json").read_text()))


def agrees(function: str, answer: dict[str, Any]) -> bool:
    """Whether the answer holds what is expected of this function; it may hold more."""
    return ANSWERS[function].items() <= answer.items()
