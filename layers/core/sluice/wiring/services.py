"""The use cases of gateway and documents, each bound to its stores once a process."""

from __future__ import annotations  # only the type checker needs the ports, and importing them slows a cold start

import time
from functools import cache, partial
from typing import TYPE_CHECKING

from sluice import settings

if TYPE_CHECKING:
    from sluice.ports.documents import Search
    from sluice.ports.gateway import TextStore
    from sluice.services.documents.embed import Embed
    from sluice.services.documents.files import Files
    from sluice.services.documents.ingest import Ingestion
    from sluice.services.documents.my_documents import MyDocuments
    from sluice.services.documents.retrieve import Retrieval
    from sluice.services.documents.vector_stores import VectorStores
    from sluice.services.gateway.answer import Answers
    from sluice.services.gateway.exchange import Observer
    from sluice.services.gateway.gateway import Gateway
    from sluice.services.gateway.places import Places
    from sluice.services.gateway.stored_responses import StoredResponses
    from sluice.services.gateway.sweep import Sweeper
from sluice.wiring import peers, stores


@cache
def gateway() -> Gateway:
    from sluice.domain.gateway.admission import Limits
    from sluice.services.gateway.gateway import Defaults, Gateway
    from sluice.services.gateway.model_list import ModelList
    from sluice.services.gateway.observe import ObservedAdmission
    from sluice.wiring.mails import quota_mails

    wanted = settings.gateway()
    limits = Limits(wanted.default_rpm, wanted.default_tpm, wanted.default_concurrency, wanted.default_monthly_tokens)
    return Gateway(
        store=stores.hot_store(),
        admission=ObservedAdmission(
            stores.hot_store(), limits, peers.metrics(), partial(quota_mails().check, refused=True)
        ),
        upstream=peers.upstream(),
        models=ModelList(peers.upstream()),
        observer=observer(),
        clock=time.time_ns,
        defaults=Defaults(wanted.default_max_tokens, wanted.request_deadline_seconds, wanted.content_days),
    )


@cache
def answers() -> Answers:
    from sluice.services.gateway.answer import Answers

    return Answers(gateway(), retrieval)


@cache
def stored_responses() -> StoredResponses:
    from sluice.services.gateway.stored_responses import StoredResponses

    texts: TextStore = stores.hot_store()  # type: ignore[assignment]
    return StoredResponses(texts, settings.gateway().content_days)


@cache
def v1_places() -> Places:
    from sluice.services.gateway.places import Places

    return Places(settings.gateway().v1_places)


@cache
def sweeper() -> Sweeper:
    from sluice.services.gateway.sweep import Sweeper

    return Sweeper(stores.hot_store(), stores.lease_index(), _now_ms)


@cache
def observer() -> Observer:
    from sluice.services.gateway.observe import ExchangeMetrics

    return ExchangeMetrics(peers.metrics())


@cache
def files() -> Files:
    from sluice.domain.documents.uploads import MIB
    from sluice.services.documents.files import Files

    return Files(
        stores.file_store(), stores.vector_store_store(), stores.blobs(), settings.documents().default_storage_mb * MIB
    )


@cache
def vector_stores() -> VectorStores:
    from sluice.services.documents.vector_stores import VectorStores

    return VectorStores(stores.vector_store_store(), stores.blobs(), files())


@cache
def my_documents() -> MyDocuments:
    from sluice.services.documents.my_documents import MyDocuments

    return MyDocuments(files(), vector_stores())


@cache
def retrieval() -> Retrieval:
    from sluice.services.documents.retrieve import Retrieval

    return Retrieval(stores.vector_store_store(), search())


@cache
def ingestion() -> Ingestion:
    """For the function `ingestion` only, because it parses files and writes indexes."""
    from sluice.adapters.documents.parsing.sandbox import parse
    from sluice.services.documents.ingest import Ingestion

    return Ingestion(
        stores.file_store(),
        stores.vector_store_store(),
        stores.blobs(),
        stores.indexes(),
        stores.pending_documents(),
        parse,
        embed(),
    )


@cache
def search() -> Search:
    """On AWS a client of `functions/search`; on one machine, and in that function, the service itself."""
    if url := settings.documents().search_url:
        from sluice.adapters.documents.http_search import HttpSearch
        from sluice.adapters.gateway.function_url import sign_for
        from sluice.adapters.gateway.upstream import HttpUpstream

        return HttpSearch(HttpUpstream(url, connect_seconds=2.0, idle_seconds=20.0, sign=sign_for(url, "auto")))
    from sluice.services.documents.search import SearchDocuments

    return SearchDocuments(stores.vector_store_store(), stores.indexes(), embed())


@cache
def embed() -> Embed | None:
    """None if no embedding model is configured; then documents are searched by words only."""
    from sluice.services.documents.embed import Embed

    model = settings.documents().embedding_model
    return (
        Embed(peers.upstream(), model, stores.blobs(), stores.hot_store(), stores.accountant(), _now_ms)
        if model
        else None
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
