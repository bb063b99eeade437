"""`POST /v1/rerank`, in the form of Cohere and Jina."""

from typing import Annotated, Any, Literal

from pydantic import Field

from sluice.domain.gateway.rerank import ranked
from sluice.http.fields import Flag, Integer, Loose, Text
from sluice.http.gateway.answers import EmbeddingUsage, Open
from sluice.http.gateway.bearer import asked_model, authenticate
from sluice.http.gateway.messages import bound
from sluice.http.gateway.waiting import fetched
from sluice.http.operation import parse_body
from sluice.services.gateway.request import ModelRequest
from sluice.wiring.gateway import gateway

PATH = "/v1/rerank"
MAX_DOCUMENTS = 1_000


class RerankDocument(Loose):
    text: Text


class RerankBody(Loose):
    model: str = Field(min_length=1, max_length=256)
    query: Text = Field(min_length=1)
    documents: Annotated[list[Text | RerankDocument], Field(fail_fast=True)] = Field(
        min_length=1, max_length=MAX_DOCUMENTS
    )
    top_n: Annotated[Integer, Field(ge=1)] | None = None
    return_documents: Flag | None = Field(None, description="false: without the documents' texts")

    @property
    def texts(self) -> list[str]:
        return [one if isinstance(one, str) else one.text for one in self.documents]

    def token_bound(self) -> int:
        """The model reads the query with each document."""
        return bound(self.texts) + bound([self.query]) * len(self.documents)


class RankedDocument(Open):
    index: int = Field(description="its place in the request's documents, from 0")
    relevance_score: float = Field(description="compares within one answer only; higher is better")
    document: RerankDocument | None = None


class Ranking(Open):
    object: Literal["list"]
    model: str | None
    results: list[RankedDocument] = Field(description="best first")
    usage: EmbeddingUsage | None = None


def rerank() -> dict[str, Any]:
    claims = authenticate("embeddings")
    with gateway().form_counted(claims):
        body = parse_body(RerankBody)
        model = asked_model(claims, body, "rerank")
    texts, with_texts = body.texts, body.return_documents is not False
    forwarded = {"model": body.model, "query": body.query, "documents": texts}
    request = ModelRequest(claims, model, "rerank", forwarded, body.token_bound(), max_tokens=0, path=PATH)
    return fetched(request, lambda answer: ranked(answer, texts, body.top_n, with_texts=with_texts))
