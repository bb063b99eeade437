"""The use cases of documents, each bound to its stores once a process, by the function that uses it."""

from __future__ import annotations  # only the type checker needs the ports, and importing them slows a cold start

from typing import TYPE_CHECKING

from sluice import settings
from sluice.once import once
from sluice.wiring import peers, stores, upstreams

if TYPE_CHECKING:
    from sluice.ports.documents import Search
    from sluice.services.documents.embed import Embed
    from sluice.services.documents.files import Files
    from sluice.services.documents.ingest import Ingestion
    from sluice.services.documents.my_documents import MyDocuments
    from sluice.services.documents.retrieve import Retrieval
    from sluice.services.documents.sweep import DocumentSweeper
    from sluice.services.documents.uploads import Uploads
    from sluice.services.documents.vector_stores import VectorStores


@once
def files() -> Files:
    from sluice.domain.documents.uploads import MIB
    from sluice.services.documents.files import Files

    batch_bytes = settings.documents().batch_file_mb * MIB
    return Files(stores.file_store(), stores.vector_store_store(), stores.blobs(), storage_bytes, batch_bytes)


def storage_bytes(account_id: str) -> int:
    """How much an account may hold: by its plan, else `SLUICE_DEFAULT_STORAGE_MB`. Errors: StoreUnavailable."""
    from sluice.domain.documents.uploads import MIB
    from sluice.wiring.settings import terms

    usual, known = settings.documents().default_storage_mb * MIB, terms()
    if all(plan.storage_bytes is None for plan in known.plans.values()):
        return usual
    grant = stores.hot_store().grant(account_id)
    of_plan = known.plan(grant.plan if grant else "").storage_bytes
    return usual if of_plan is None else of_plan


@once
def uploads() -> Uploads:
    from sluice.services.documents.uploads import Uploads

    return Uploads(stores.upload_store(), stores.blobs(), files())


@once
def vector_stores() -> VectorStores:
    from sluice.services.documents.vector_stores import VectorStores

    return VectorStores(stores.vector_store_store(), stores.blobs(), files())


@once
def my_documents() -> MyDocuments:
    from sluice.services.documents.my_documents import MyDocuments

    return MyDocuments(files(), vector_stores())


@once
def retrieval() -> Retrieval:
    from sluice.services.documents.retrieve import Retrieval

    return Retrieval(stores.vector_store_store(), search())


@once
def ingestion() -> Ingestion:
    """For the function `ingestion` only, because it parses files and writes indexes."""
    from sluice.adapters.documents.parsing.sandbox import parse
    from sluice.domain.documents.uploads import MIB
    from sluice.services.documents.ingest import Ingestion

    return Ingestion(
        stores.file_store(),
        stores.vector_store_store(),
        stores.blobs(),
        stores.indexes(),
        stores.pending_documents(),
        parse,
        embed(),
        10 * settings.documents().default_storage_mb * MIB,
    )


@once
def sweeper() -> DocumentSweeper:
    from sluice.services.documents.renewal import Renewal
    from sluice.services.documents.sweep import DocumentSweeper

    return DocumentSweeper(ingestion(), Renewal(ingestion()))


@once
def search() -> Search:
    """On AWS a client of `functions/search`; on one machine, and in that function, the service itself."""
    if url := settings.documents().search_url:
        from sluice.adapters.documents.http_search import HttpSearch
        from sluice.adapters.gateway.function_url import sign_for
        from sluice.adapters.gateway.upstream import HttpUpstream

        return HttpSearch(HttpUpstream(url, connect_seconds=2.0, idle_seconds=20.0, sign=sign_for(url, "iam")))
    from sluice.services.documents.search import SearchDocuments

    return SearchDocuments(stores.vector_store_store(), stores.indexes(), embed())


@once
def embed() -> Embed | None:
    """None if documents are to be searched by words only."""
    from sluice.services.documents.embed import Embed
    from sluice.services.documents.embedding_server import EmbeddingServer
    from sluice.wiring.settings import price_of

    model = settings.documents().embedding_model
    if not model:
        return None
    at_home = lambda: upstreams.routes().all(local_only=True)  # noqa: E731
    server = EmbeddingServer(upstreams.routed(), at_home, model, peers.now_ms)
    return Embed(server, stores.blobs(), stores.hot_store(), stores.accountant(), peers.now_ms, price_of)
