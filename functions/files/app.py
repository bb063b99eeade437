"""`/v1/files…`, `/v1/vector_stores…` and the documents page: what people upload, and what they search (ADR 75)."""

from typing import Any

from flask import Blueprint, Response, request

from sluice.domain import errors
from sluice.http.documents import answers
from sluice.http.documents import files as flow
from sluice.http.documents import requests as models
from sluice.http.gateway import blueprint as v1
from sluice.http.on_lambda import wsgi
from sluice.http.operation import Auth, operation
from sluice.pages import documents
from sluice.wiring import services

blueprint = Blueprint("files", __name__)
api = Blueprint("v1", __name__)
v1.install(api)
TAG = "Files"
READ = (errors.InvalidApiToken, errors.InsufficientScope, errors.AccountSuspended, errors.StoreUnavailable)
FIND = (*READ, errors.NotFound)
WRITE = (
    *READ,
    errors.ValidationFailed,
    errors.RateLimitExceeded,
    errors.QuotaExceeded,
    errors.TooManyConcurrentRequests,
    errors.InvalidModelRequest,
)
CHANGE = (*WRITE, errors.NotFound)


@api.post("/v1/files")
@operation(
    "Upload a file",
    tag=TAG,
    auth=Auth.API_TOKEN,
    documented_body=models.UploadForm,
    answers={200: answers.FileObject},
    errors=(*WRITE, errors.RequestTooLarge, errors.StorageFull),
    description="`multipart/form-data`, 4 MiB at most. What is in it is read a moment later: see `status`.",
)
def upload_file() -> answers.FileObject:
    claims, filename, body, purpose = flow.uploaded()
    with flow.admitted(claims, "files") as account_id:
        return answers.FileObject.of(services.files().upload(account_id, filename, purpose, body, flow.now_ms()))


@api.get("/v1/files")
@operation(
    "One's files",
    tag=TAG,
    auth=Auth.API_TOKEN,
    query=models.FilesQuery,
    answers={200: answers.FileListing},
    errors=READ,
)
def list_files() -> answers.FileListing:
    account_id, query = flow.asked(models.FilesQuery)
    found, more = services.files().page(
        account_id,
        limit=query.limit,
        after_id=query.after,
        newest_first=query.order == "desc",
        purpose=query.purpose,
    )
    return answers.FileListing(**answers.listed([answers.FileObject.of(file) for file in found], more))


@api.get("/v1/files/<file_id>")
@operation("One file", tag=TAG, auth=Auth.API_TOKEN, answers={200: answers.FileObject}, errors=FIND)
def get_file(file_id: str) -> answers.FileObject:
    return answers.FileObject.of(services.files().get(flow.reader(), file_id))


@api.get("/v1/files/<file_id>/content")
@operation(
    "A file as it was uploaded",
    tag=TAG,
    auth=Auth.API_TOKEN,
    answers={200: "application/octet-stream"},
    errors=FIND,
    description="Always an attachment: nothing that was uploaded is shown as a page of this site.",
)
def file_content(file_id: str) -> Response:
    file, body = services.files().content(flow.reader(), file_id)
    return flow.download(file.filename, body)


@api.delete("/v1/files/<file_id>")
@operation(
    "Delete a file, also from every vector store",
    tag=TAG,
    auth=Auth.API_TOKEN,
    answers={200: answers.FileDeleted},
    errors=FIND,
)
def delete_file(file_id: str) -> answers.FileDeleted:
    services.files().delete(flow.reader(), file_id)
    return answers.FileDeleted(id=file_id)


@api.post("/v1/vector_stores")
@operation(
    "Make a vector store",
    tag=TAG,
    auth=Auth.API_TOKEN,
    documented_body=models.CreateStoreBody,
    answers={200: answers.VectorStoreObject},
    errors=CHANGE,
)
def create_vector_store() -> answers.VectorStoreObject:
    claims, body = flow.told(models.CreateStoreBody)
    with flow.admitted(claims, "vector_stores") as account_id:
        for file_id in body.file_ids or []:
            services.files().get(account_id, file_id)  # before there is a store that lacks some of them
        store = services.vector_stores().create(account_id, body.name or "", body.metadata or {}, flow.now_ms())
        attached = [
            services.vector_stores().attach(account_id, store.store_id, file_id, {}, flow.now_ms())
            for file_id in dict.fromkeys(body.file_ids or [])
        ]
    return answers.VectorStoreObject.of(store, attached)


@api.get("/v1/vector_stores")
@operation(
    "One's vector stores",
    tag=TAG,
    auth=Auth.API_TOKEN,
    query=models.PageQuery,
    answers={200: answers.VectorStoreListing},
    errors=READ,
)
def list_vector_stores() -> answers.VectorStoreListing:
    account_id, query = flow.asked(models.PageQuery)
    found, more = services.vector_stores().page(
        account_id, limit=query.limit, after_id=query.after, newest_first=query.order == "desc"
    )
    shown = [
        answers.VectorStoreObject.of(store, services.vector_stores().attachments(account_id, store.store_id))
        for store in found
    ]
    return answers.VectorStoreListing(**answers.listed(shown, more))


@api.get("/v1/vector_stores/<vector_store_id>")
@operation("One vector store", tag=TAG, auth=Auth.API_TOKEN, answers={200: answers.VectorStoreObject}, errors=FIND)
def get_vector_store(vector_store_id: str) -> answers.VectorStoreObject:
    account_id = flow.reader()
    store = services.vector_stores().get(account_id, vector_store_id)
    return answers.VectorStoreObject.of(store, services.vector_stores().attachments(account_id, vector_store_id))


@api.post("/v1/vector_stores/<vector_store_id>")
@operation(
    "Change a vector store's name or metadata",
    tag=TAG,
    auth=Auth.API_TOKEN,
    documented_body=models.UpdateStoreBody,
    answers={200: answers.VectorStoreObject},
    errors=CHANGE,
)
def update_vector_store(vector_store_id: str) -> answers.VectorStoreObject:
    claims, body = flow.told(models.UpdateStoreBody)
    with flow.admitted(claims, "vector_stores") as account_id:
        store = services.vector_stores().update(
            account_id, vector_store_id, name=body.name, metadata=body.metadata, now_ms=flow.now_ms()
        )
    return answers.VectorStoreObject.of(store, services.vector_stores().attachments(account_id, vector_store_id))


@api.delete("/v1/vector_stores/<vector_store_id>")
@operation(
    "Delete a vector store; its files stay",
    tag=TAG,
    auth=Auth.API_TOKEN,
    answers={200: answers.VectorStoreDeleted},
    errors=FIND,
)
def delete_vector_store(vector_store_id: str) -> answers.VectorStoreDeleted:
    services.vector_stores().delete(flow.reader(), vector_store_id)
    return answers.VectorStoreDeleted(id=vector_store_id)


@api.post("/v1/vector_stores/<vector_store_id>/search")
@operation(
    "Search a vector store",
    tag=TAG,
    auth=Auth.API_TOKEN,
    documented_body=models.SearchBody,
    answers={200: answers.SearchPage},
    errors=(*CHANGE, errors.SearchUnavailable),
    description="Best first. `filters` choose among the best 50.",
)
def search_vector_store(vector_store_id: str) -> answers.SearchPage:
    claims, body = flow.told(models.SearchBody)
    with flow.admitted(claims, "vector_stores") as account_id:
        services.retrieval().check(account_id, [vector_store_id])
        found = [
            services.retrieval().find(account_id, [vector_store_id], query, body.max_num_results, body.wanted())
            for query in body.queries
        ]
    best = flow.merged(found, body.max_num_results)
    passed = [one for one in best if body.threshold is None or one.score >= body.threshold]
    return answers.SearchPage(search_query=body.queries, data=[answers.FoundPassage.of(one) for one in passed])


@api.post("/v1/vector_stores/<vector_store_id>/files")
@operation(
    "Put a file into a vector store",
    tag=TAG,
    auth=Auth.API_TOKEN,
    documented_body=models.AttachBody,
    answers={200: answers.VectorStoreFileObject},
    errors=CHANGE,
)
def attach_file(vector_store_id: str) -> answers.VectorStoreFileObject:
    claims, body = flow.told(models.AttachBody)
    with flow.admitted(claims, "vector_stores") as account_id:
        attached = services.vector_stores().attach(
            account_id, vector_store_id, body.file_id, body.attributes or {}, flow.now_ms()
        )
    return answers.VectorStoreFileObject.of(attached)


@api.get("/v1/vector_stores/<vector_store_id>/files")
@operation(
    "The files in a vector store",
    tag=TAG,
    auth=Auth.API_TOKEN,
    query=models.AttachmentsQuery,
    answers={200: answers.VectorStoreFileListing},
    errors=FIND,
)
def list_attached_files(vector_store_id: str) -> answers.VectorStoreFileListing:
    account_id, query = flow.asked(models.AttachmentsQuery)
    found, more = flow.window(services.vector_stores().attachments(account_id, vector_store_id), query)
    shown = [answers.VectorStoreFileObject.of(one) for one in found]
    return answers.VectorStoreFileListing(**answers.listed(shown, more))


@api.get("/v1/vector_stores/<vector_store_id>/files/<file_id>")
@operation(
    "One file in a vector store, and whether it can be searched yet",
    tag=TAG,
    auth=Auth.API_TOKEN,
    answers={200: answers.VectorStoreFileObject},
    errors=FIND,
)
def get_attached_file(vector_store_id: str, file_id: str) -> answers.VectorStoreFileObject:
    return answers.VectorStoreFileObject.of(
        services.vector_stores().attachment(flow.reader(), vector_store_id, file_id)
    )


@api.delete("/v1/vector_stores/<vector_store_id>/files/<file_id>")
@operation(
    "Take a file out of a vector store; the file stays",
    tag=TAG,
    auth=Auth.API_TOKEN,
    answers={200: answers.VectorStoreFileDeleted},
    errors=FIND,
)
def detach_file(vector_store_id: str, file_id: str) -> answers.VectorStoreFileDeleted:
    services.vector_stores().detach(flow.reader(), vector_store_id, file_id)
    return answers.VectorStoreFileDeleted(id=file_id)


@api.post("/v1/vector_stores/<vector_store_id>/file_batches")
@operation(
    "Put several files into a vector store",
    tag=TAG,
    auth=Auth.API_TOKEN,
    documented_body=models.BatchBody,
    answers={200: answers.FileBatchObject},
    errors=CHANGE,
)
def attach_files(vector_store_id: str) -> answers.FileBatchObject:
    claims, body = flow.told(models.BatchBody)
    with flow.admitted(claims, "vector_stores") as account_id:
        batch = services.vector_stores().attach_batch(account_id, vector_store_id, body.wanted(), flow.now_ms())
    return answers.FileBatchObject.of(batch)


@api.get("/v1/vector_stores/<vector_store_id>/file_batches/<batch_id>")
@operation(
    "How far a batch of files is",
    tag=TAG,
    auth=Auth.API_TOKEN,
    answers={200: answers.FileBatchObject},
    errors=FIND,
)
def get_file_batch(vector_store_id: str, batch_id: str) -> answers.FileBatchObject:
    return answers.FileBatchObject.of(services.vector_stores().batch(flow.reader(), vector_store_id, batch_id))


@api.get("/v1/vector_stores/<vector_store_id>/file_batches/<batch_id>/files")
@operation(
    "The files of a batch",
    tag=TAG,
    auth=Auth.API_TOKEN,
    query=models.AttachmentsQuery,
    answers={200: answers.VectorStoreFileListing},
    errors=FIND,
)
def list_files_of_batch(vector_store_id: str, batch_id: str) -> answers.VectorStoreFileListing:
    account_id, query = flow.asked(models.AttachmentsQuery)
    batch = services.vector_stores().batch(account_id, vector_store_id, batch_id)
    found, more = flow.window(batch.attachments[::-1], query)
    shown = [answers.VectorStoreFileObject.of(one) for one in found]
    return answers.VectorStoreFileListing(**answers.listed(shown, more))


@blueprint.before_request
def _expect_upload() -> None:
    """Of the page: before its form's token is looked at, which reads the form."""
    if request.method == "POST" and request.path == "/my/documents":
        flow.expect_upload()


blueprint.register_blueprint(api)
blueprint.register_blueprint(documents.blueprint)


def handler(event: dict[str, Any], context: object) -> Any:
    """API Gateway's proxy event (AWS Lambda)."""
    return wsgi(blueprint)(event, context)
