"""Converts the grant to and from DynamoDB JSON. Field names of a lease are one letter to keep the item under 1 KB."""

from collections.abc import Mapping
from typing import Any

from sluice.domain.gateway.admission import Grant, Limits
from sluice.domain.gateway.grants import PLAYGROUND
from sluice.domain.gateway.leases import Lease

Item = Mapping[str, Any]

# Endpoint and stream flag of a lease as one or two letters.
ENDPOINT_LETTERS = {
    "chat.completions": "c",
    "completions": "t",
    "embeddings": "e",
    "rerank": "k",
    "responses": "r",
    "responses.input_tokens": "i",
    "messages": "m",
    "messages.count_tokens": "n",
    "chats": "p",
    "files": "f",
    "vector_stores": "v",
}
LETTER_ENDPOINTS = {letter: endpoint for endpoint, letter in ENDPOINT_LETTERS.items()}


def number(value: int) -> dict[str, str]:
    return {"N": str(value)}


def lease_attribute(lease: Lease) -> dict[str, Any]:
    mode = ENDPOINT_LETTERS[lease.endpoint] + ("s" if lease.stream else "")
    return {
        "M": {
            "e": number(lease.expires_ms),
            "r": number(lease.reserved_tokens),
            "t": number(lease.charged_tokens_ns),
            "d": number(lease.period),
            "k": {"S": lease.token_id.removeprefix("tok_")},
            "m": {"S": lease.model},
            "x": {"S": mode},
            "p": number(lease.prompt_tokens),
            "c": number(lease.completion_tokens),
        }
    }


def limits_attribute(limits: Limits) -> dict[str, Any]:
    return {
        "M": {
            "rpm": number(limits.rpm),
            "tpm": number(limits.tpm),
            "concurrency": number(limits.concurrency),
            "monthly_tokens": number(limits.monthly_tokens),
        }
    }


def lease_from(attribute: Item) -> Lease:
    fields = attribute["M"]
    key, mode = fields["k"]["S"], fields["x"]["S"]
    return Lease(
        expires_ms=int(fields["e"]["N"]),
        reserved_tokens=int(fields["r"]["N"]),
        charged_tokens_ns=int(fields["t"]["N"]),
        period=int(fields["d"]["N"]),
        token_id=key if key == PLAYGROUND else "tok_" + key,
        model=fields["m"]["S"],
        endpoint=LETTER_ENDPOINTS.get(mode[0], mode[0]),  # a newer version beside this one may know another
        stream=mode.endswith("s") and len(mode) == 2,
        prompt_tokens=int(fields["p"]["N"]),
        completion_tokens=int(fields["c"]["N"]),
    )


def lease_key(request_id: str) -> str:
    """A lease's key in the map: the request id without its prefix."""
    return request_id.removeprefix("req_")


def _integer(item: Item, name: str) -> int:
    return int(item[name]["N"]) if name in item else 0


def grant_from(item: Item) -> Grant:
    limits = {name: int(value["N"]) for name, value in item["limits"]["M"].items()}
    return Grant(
        account_id=item["account_id"]["S"],
        live={token: int(expiry["N"]) for token, expiry in item["live"]["M"].items()},
        standing=item["standing"]["S"],
        limits=Limits(limits["rpm"], limits["tpm"], limits["concurrency"], limits["monthly_tokens"]),
        tat_requests_ns=_integer(item, "tat_requests_ns"),
        tat_tokens_ns=_integer(item, "tat_tokens_ns"),
        leases={"req_" + key: lease_from(value) for key, value in item["leases"]["M"].items()},
        period=_integer(item, "period"),
        period_tokens=_integer(item, "period_tokens"),
        blocked_until_ms=_integer(item, "blocked_until"),
        block_seconds=_integer(item, "block_seconds"),
        store_content=item.get("store_content", {}).get("BOOL", True),
    )
