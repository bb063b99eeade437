"""Converts the grant to and from DynamoDB JSON. Field names of a lease are one letter to keep the item under 1 KB."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sluice.domain.gateway.admission import Grant, Limits, TokenLimits, TokenUse
from sluice.domain.gateway.grants import PLAYGROUND
from sluice.domain.gateway.leases import Lease
from sluice.domain.gateway.publishable import PublicTerms
from sluice.domain.usage.pricing import Prices

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
    "run": "u",
}
# The prices of a lease and the limits of an API token; what is not set is left out.
PRICE_LETTERS = {
    "p": "prompt_micro_usd",
    "c": "completion_micro_usd",
    "k": "cached_micro_usd",
    "r": "request_micro_usd",
    "s": "second_micro_usd",
    "m": "max_seconds",
}
ROWS = "br"  # the leases of rows of batches, in a map of their own, because they have a concurrency of their own
COUNTER_LETTERS = {"a": "tat_requests_ns", "b": "tat_tokens_ns", "p": "period", "q": "tokens", "v": "micro_usd"}
PUBLIC_LETTERS = {"origins": "o", "daily_requests": "d", "visitor_rpm": "r"}
DAY_LETTERS = {"e": "day", "n": "day_requests"}
LIMIT_LETTERS = {"r": "rpm", "t": "tpm", "m": "monthly_tokens", "u": "monthly_micro_usd"}
LETTER_ENDPOINTS = {letter: endpoint for endpoint, letter in ENDPOINT_LETTERS.items()}


def number(value: int) -> dict[str, str]:
    return {"N": str(value)}


def lease_attribute(lease: Lease) -> dict[str, Any]:
    mode = ENDPOINT_LETTERS[lease.endpoint] + ("s" if lease.stream else "")
    fields: dict[str, Any] = {
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
    if lease.prices is not None:
        terms = {letter: getattr(lease.prices, name) for letter, name in PRICE_LETTERS.items()}
        # A cached token that is free is not one without a price of its own.
        told = {letter: value for letter, value in terms.items() if value or (letter == "k" and value is not None)}
        fields["$"] = {"M": {letter: number(value) for letter, value in told.items()}}
        fields["u"] = number(lease.reserved_micro_usd)
    if lease.upstream:
        fields["s"] = {"S": lease.upstream}
    if lease.family:
        fields["f"] = {"S": "" if lease.family == lease.token_id else family_key(lease.family)}
        fields["b"] = number(lease.family_tokens_ns)
    if lease.epoch:
        fields["n"] = number(lease.epoch)
    if lease.price_percent is not None:
        fields["y"] = number(lease.price_percent)
    return {"M": fields}


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
        token_id=token_id_of(key),
        model=fields["m"]["S"],
        endpoint=LETTER_ENDPOINTS.get(mode[0], mode[0]),  # a newer version beside this one may know another
        stream=mode.endswith("s") and len(mode) == 2,
        prompt_tokens=int(fields["p"]["N"]),
        completion_tokens=int(fields["c"]["N"]),
        reserved_micro_usd=_integer(fields, "u"),
        prices=_prices(fields["$"]["M"]) if "$" in fields else None,
        family=token_id_of(fields["f"]["S"] or key) if "f" in fields else "",
        family_tokens_ns=_integer(fields, "b"),
        upstream=fields["s"]["S"] if "s" in fields else "",
        epoch=_integer(fields, "n"),
        price_percent=int(fields["y"]["N"]) if "y" in fields else None,
    )


def _prices(terms: Item) -> Prices:
    return Prices(
        **{PRICE_LETTERS[letter]: int(value["N"]) for letter, value in terms.items() if letter in PRICE_LETTERS}
    )


def family_key(family: str) -> str:
    """The key of a family of API tokens in the map `tl`: its id without the prefix."""
    return family.removeprefix("tok_")


def token_id_of(key: str) -> str:
    return key if key == PLAYGROUND else "tok_" + key


def token_limits_attribute(limits: TokenLimits) -> dict[str, Any]:
    given = {letter: getattr(limits, name) for letter, name in LIMIT_LETTERS.items()}
    return {"M": {letter: number(value) for letter, value in given.items() if value is not None}}


def token_use_attribute(use: TokenUse) -> dict[str, Any]:
    """`l`: limits; `a`, `b`: arrival times of requests and tokens; of the month `p`: tokens `q`, micro-dollars `v`.
    Of a publishable token also `w`: its terms; of the day `e`: requests `n`."""
    letters = COUNTER_LETTERS | (DAY_LETTERS if use.public else {})
    counters = {name: number(getattr(use, field)) for name, field in letters.items()}
    terms = {"w": public_terms_attribute(use.public)} if use.public else {}
    return {"M": {"l": token_limits_attribute(use.limits), **terms, **counters}}


def public_terms_attribute(terms: PublicTerms) -> dict[str, Any]:
    """`o`: origins; `d`: requests a day; `r`: requests a minute of each visitor; `k`: the key of their addresses."""
    origins = [{"S": origin} for origin in terms.origins]
    rest = {"d": number(terms.daily_requests), "r": number(terms.visitor_rpm), "k": {"S": terms.salt}}
    return {"M": {"o": {"L": origins}, **rest}}


def token_use_from(attribute: Item) -> TokenUse:
    fields = attribute["M"]
    limits = {LIMIT_LETTERS[letter]: int(value["N"]) for letter, value in fields["l"]["M"].items()}
    counters: dict[str, Any] = {field: int(fields[name]["N"]) for name, field in COUNTER_LETTERS.items()}
    if "w" not in fields:
        return TokenUse(TokenLimits(**limits), **counters)
    counters |= {field: _integer(fields, name) for name, field in DAY_LETTERS.items()}
    return replace(TokenUse(TokenLimits(**limits), **counters), public=_public_terms(fields["w"]["M"]))


def _public_terms(fields: Item) -> PublicTerms:
    origins = tuple(origin["S"] for origin in fields["o"]["L"])
    return PublicTerms(origins, _integer(fields, "d"), _integer(fields, "r"), fields["k"]["S"])


def lease_key(request_id: str) -> str:
    """A lease's key in the map: the request id without its prefix."""
    return request_id.removeprefix("req_")


def _integer(item: Item, name: str) -> int:
    return int(item[name]["N"]) if name in item else 0


def grant_from(item: Item) -> Grant:
    limits = {name: int(value["N"]) for name, value in item["limits"]["M"].items()}
    period, money_period = _integer(item, "period"), _integer(item, "pp")
    return Grant(
        account_id=item["account_id"]["S"],
        live={token: int(expiry["N"]) for token, expiry in item["live"]["M"].items()},
        standing=item["standing"]["S"],
        limits=Limits(limits["rpm"], limits["tpm"], limits["concurrency"], limits["monthly_tokens"]),
        tat_requests_ns=_integer(item, "tat_requests_ns"),
        tat_tokens_ns=_integer(item, "tat_tokens_ns"),
        leases={
            "req_" + key: lease_from(value)
            for held in ("leases", ROWS)
            for key, value in (item[held]["M"].items() if held in item else ())
        },
        period=period,
        period_tokens=_integer(item, "period_tokens"),
        blocked_until_ms=_integer(item, "blocked_until"),
        block_seconds=_integer(item, "block_seconds"),
        store_content=item.get("store_content", {}).get("BOOL", True),
        token_limits={token_id_of(key): token_use_from(use) for key, use in item["tl"]["M"].items()}
        if "tl" in item
        else {},
        monthly_micro_usd=int(item["ml"]["N"]) if "ml" in item else None,
        period_micro_usd=_integer(item, "pu") if money_period == period else 0,
        money_period=money_period,
        plan=item["plan"]["S"] if "plan" in item else "",
        plan_version=int(item["pv"]["N"]) if "pv" in item else None,
        own={name: int(value["N"]) for name, value in item["own"]["M"].items()} if "own" in item else None,
    )
