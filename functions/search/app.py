"""Searches an account's vector stores for other functions. Only they may call it.

On AWS a function URL of AuthType AWS_IAM, whose policy names the gateway's and the files function's roles. On one
machine it does not run, because the search runs in the calling process.
"""

from dataclasses import asdict
from typing import Any

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field

from sluice.http.documents.requests import Id
from sluice.http.on_lambda import lambda_handler
from sluice.http.operation import parse_body
from sluice.ports.documents import SearchRequest
from sluice.services.documents.search import LONGEST_QUERY, MOST_PASSAGES
from sluice.wiring import documents

blueprint = Blueprint("search", __name__)
MOST_STORES, MOST_FILES = 20, 20


class SearchBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    account_id: str = Field(pattern=r"^usr_[0-9a-z]{1,64}$")
    store_ids: list[Id] = Field(max_length=MOST_STORES, fail_fast=True)
    query: str = Field(max_length=LONGEST_QUERY)
    top_k: int = Field(ge=1, le=MOST_PASSAGES)
    floored: bool = True
    strict: bool = False
    file_ids: list[Id] | None = Field(None, max_length=MOST_FILES, fail_fast=True)


@blueprint.post("/search")
def search() -> dict[str, Any]:
    body = parse_body(SearchBody)
    found = documents.search().search(SearchRequest(**dict(body)))
    return {"data": [asdict(passage) for passage in found]}


handler = lambda_handler(blueprint)
