"""`/v1/files…`, `/v1/uploads…`, `/v1/vector_stores…` and the documents page: upload files and search them (ADR 75)."""

from functools import partial

from flask import Blueprint, Response

from sluice.domain import errors
from sluice.http.documents import answers, uploads
from sluice.http.documents import files as flow
from sluice.http.documents import requests as models
from sluice.http.documents import vector_store_answers as store_answers
from sluice.http.fields import PageQuery
from sluice.http.gateway import blueprint as v1
from sluice.http.gateway.repeats import once
from sluice.http.on_lambda import lambda_handler
from sluice.http.operation import Auth, operation
from sluice.pages import documents, forms
from sluice.pages.chats import files as chat_files
from sluice.wiring.documents import files, retrieval, vector_stores

blueprint = Blueprint("files", __name__)
api = Blueprint("v1", __name__)
v1.install(api)
documented = partial(operation, tag="Files", auth=Auth.API_TOKEN)
WRITE = (
    errors.RateLimitExceeded,
    errors.QuotaExceeded,
    errors.TooManyConcurrentRequests,
    errors.InvalidModelRequest,
)
CHANGE = (*WRITE, errors.NotFound)
ADD = (*CHANGE, errors.LimitReached)
PART = (errors.InvalidModelRequest, errors.NotFound, errors.Conflict)


@api.post("/v1/files")
@documented(
    "Upload a file",
    documented_body=models.UploadForm,
    errors=(*WRITE, errors.RequestTooLarge, errors.StorageFull),
    description="`multipart/form-data`, 4 MiB at most. Its text is extracted a moment later: see `status`. A file "
    "of the purpose `batch` may have 100 MiB on one machine (`SLUICE_BATCH_FILE_MB`), on AWS in parts (`/v1/uploads`); "
    "nobody reads its text.",
)
def upload_file() -> answers.FileObject:
    claims, filename, body, purpose = flow.claims_and_upload()
    with flow.closing_draft(body), flow.admitted(claims, "files") as account_id:
        return answers.FileObject.of(files().upload(account_id, filename, purpose, body, flow.now_ms()))


@api.get("/v1/files")
@documented("One's files", documented_query=models.FilesQuery)
def list_files() -> answers.FileListing:
    account_id, query = flow.account_and_query(models.FilesQuery)
    found, more = files().page(
        account_id,
        limit=query.limit,
        after_id=query.after,
        newest_first=query.order == "desc",
        purpose=query.purpose,
    )
    return answers.FileListing(**answers.listed([answers.FileObject.of(file) for file in found], more))


@api.get("/v1/files/<file_id>")
@documented("One file", errors=(errors.NotFound,))
def get_file(file_id: str) -> answers.FileObject:
    return answers.FileObject.of(files().get(flow.account(), file_id))


@api.get("/v1/files/<file_id>/content")
@documented(
    "A file as it was uploaded",
    answers={200: "application/octet-stream"},
    errors=(errors.NotFound,),
    description="Always an attachment, so that no browser shows an upload as a page of this site. On AWS a file over "
    "4 MiB is a redirect to an address that is valid for a minute.",
)
def file_content(file_id: str) -> Response:
    return flow.download(*files().opened(flow.account(), file_id))


@api.delete("/v1/files/<file_id>")
@documented("Delete a file, also from every vector store", errors=(errors.NotFound,))
def delete_file(file_id: str) -> answers.FileDeleted:
    files().delete(flow.account(), file_id)
    return answers.FileDeleted(id=file_id)


@api.post("/v1/uploads")
@documented(
    "Begin to upload a file in parts",
    documented_body=uploads.CreateUploadBody,
    errors=(errors.RateLimitExceeded, errors.LimitReached, errors.StorageFull),
    description="For a file of the purpose `batch` that is larger than one request may be. It has an hour.",
)
def begin_upload() -> uploads.UploadObject:
    return uploads.begin()


@api.post("/v1/uploads/<upload_id>/parts")
@documented(
    "Send a part of a file",
    documented_body=uploads.PartForm,
    errors=(*PART, errors.RateLimitExceeded, errors.RequestTooLarge),
    description="`multipart/form-data`, on AWS 4 MiB at most (`part_size=4_000_000` of the SDKs), on one machine "
    "`SLUICE_BATCH_FILE_MB`. Parts may be sent in any order, and at once.",
)
def add_part(upload_id: str) -> uploads.PartObject:
    return uploads.add_part(upload_id)


@api.post("/v1/uploads/<upload_id>/complete")
@documented(
    "Make a file of the parts, in this order",
    documented_body=uploads.CompleteUploadBody,
    errors=(*WRITE, *PART, errors.StorageFull),
    description="Their bytes are as many as the upload was begun for. It can be repeated, and makes one file.",
)
def complete_upload(upload_id: str) -> uploads.UploadObject:
    return uploads.complete(upload_id)


@api.post("/v1/uploads/<upload_id>/cancel")
@documented("Cancel an upload, and delete its parts", errors=(errors.NotFound, errors.Conflict))
def cancel_upload(upload_id: str) -> uploads.UploadObject:
    return uploads.cancel(upload_id)


@api.post("/v1/vector_stores")
@documented("Make a vector store", documented_body=models.CreateStoreBody, errors=ADD, keyed=once)
def create_vector_store() -> store_answers.VectorStoreObject:
    claims, body = flow.claims_and_body(models.CreateStoreBody)
    with flow.admitted(claims, "vector_stores") as account_id:
        store, attached = vector_stores().create_with_files(
            account_id, body.name or "", body.metadata or {}, body.file_ids or [], flow.now_ms(), body.expires_days
        )
    return store_answers.VectorStoreObject.of(store, attached, flow.now_ms())


@api.get("/v1/vector_stores")
@documented("One's vector stores", documented_query=PageQuery)
def list_vector_stores() -> store_answers.VectorStoreListing:
    account_id, query = flow.account_and_query(PageQuery)
    found, more = vector_stores().page(
        account_id, limit=query.limit, after_id=query.after, newest_first=query.order == "desc"
    )
    shown = [
        store_answers.VectorStoreObject.of(
            store, vector_stores().attachments(account_id, store.store_id), flow.now_ms()
        )
        for store in found
    ]
    return store_answers.VectorStoreListing(**answers.listed(shown, more))


@api.get("/v1/vector_stores/<vector_store_id>")
@documented("One vector store", errors=(errors.NotFound,))
def get_vector_store(vector_store_id: str) -> store_answers.VectorStoreObject:
    account_id = flow.account()
    store = vector_stores().get(account_id, vector_store_id)
    return store_answers.VectorStoreObject.of(
        store, vector_stores().attachments(account_id, vector_store_id), flow.now_ms()
    )


@api.post("/v1/vector_stores/<vector_store_id>")
@documented(
    "Change a vector store's name, metadata or expiry",
    documented_body=models.UpdateStoreBody,
    errors=CHANGE,
    keyed=once,
)
def update_vector_store(vector_store_id: str) -> store_answers.VectorStoreObject:
    claims, body = flow.claims_and_body(models.UpdateStoreBody)
    with flow.admitted(claims, "vector_stores") as account_id:
        store = vector_stores().update(account_id, vector_store_id, now_ms=flow.now_ms(), **body.changes())
    return store_answers.VectorStoreObject.of(
        store, vector_stores().attachments(account_id, vector_store_id), flow.now_ms()
    )


@api.delete("/v1/vector_stores/<vector_store_id>")
@documented("Delete a vector store; its files stay", errors=(errors.NotFound,))
def delete_vector_store(vector_store_id: str) -> store_answers.VectorStoreDeleted:
    vector_stores().delete(flow.account(), vector_store_id)
    return store_answers.VectorStoreDeleted(id=vector_store_id)


@api.post("/v1/vector_stores/<vector_store_id>/search")
@documented(
    "Search a vector store",
    documented_body=models.SearchBody,
    errors=(*CHANGE, errors.SearchUnavailable),
    description="The nearest first, however far they are. `filters` choose among the best 50.",
    keyed=once,
)
def search_vector_store(vector_store_id: str) -> store_answers.SearchPage:
    claims, body = flow.claims_and_body(models.SearchBody)
    with flow.admitted(claims, "vector_stores") as account_id:
        retrieval().check(account_id, [vector_store_id], flow.now_ms())
        found = retrieval().find(account_id, body.queries, body.options(vector_store_id))
    return store_answers.SearchPage(
        search_query=body.queries, data=[store_answers.FoundPassage.of(one) for one in found]
    )


@api.post("/v1/vector_stores/<vector_store_id>/files")
@documented("Put a file into a vector store", documented_body=models.AttachBody, errors=ADD, keyed=once)
def attach_file(vector_store_id: str) -> store_answers.VectorStoreFileObject:
    claims, body = flow.claims_and_body(models.AttachBody)
    with flow.admitted(claims, "vector_stores") as account_id:
        attached = vector_stores().attach(
            account_id, vector_store_id, body.file_id, body.attributes or {}, flow.now_ms()
        )
    return store_answers.VectorStoreFileObject.of(attached)


@api.get("/v1/vector_stores/<vector_store_id>/files")
@documented("The files in a vector store", documented_query=models.AttachmentsQuery, errors=(errors.NotFound,))
def list_attached_files(vector_store_id: str) -> store_answers.VectorStoreFileListing:
    account_id, query = flow.account_and_query(models.AttachmentsQuery)
    found, more = vector_stores().attachments_page(account_id, vector_store_id, query.page())
    shown = [store_answers.VectorStoreFileObject.of(one) for one in found]
    return store_answers.VectorStoreFileListing(**answers.listed(shown, more))


@api.get("/v1/vector_stores/<vector_store_id>/files/<file_id>")
@documented("One file in a vector store, and whether it can be searched yet", errors=(errors.NotFound,))
def get_attached_file(vector_store_id: str, file_id: str) -> store_answers.VectorStoreFileObject:
    return store_answers.VectorStoreFileObject.of(vector_stores().attachment(flow.account(), vector_store_id, file_id))


@api.post("/v1/vector_stores/<vector_store_id>/files/<file_id>")
@documented(
    "Change a file's attributes in a vector store", documented_body=models.AttributesBody, errors=CHANGE, keyed=once
)
def change_attached_file(vector_store_id: str, file_id: str) -> store_answers.VectorStoreFileObject:
    claims, body = flow.claims_and_body(models.AttributesBody)
    with flow.admitted(claims, "vector_stores") as account_id:
        attached = vector_stores().set_attributes(account_id, vector_store_id, file_id, body.attributes)
    return store_answers.VectorStoreFileObject.of(attached)


@api.get("/v1/vector_stores/<vector_store_id>/files/<file_id>/content")
@documented(
    "The text that was read out of a file",
    documented_query=models.ContentQuery,
    errors=(errors.NotFound, errors.Conflict),
)
def attached_file_content(vector_store_id: str, file_id: str) -> store_answers.FileContentPage:
    account_id, query = flow.account_and_query(models.ContentQuery)
    text = vector_stores().text(account_id, vector_store_id, file_id)
    return store_answers.FileContentPage.of(text, query.page)


@api.delete("/v1/vector_stores/<vector_store_id>/files/<file_id>")
@documented("Take a file out of a vector store; the file stays", errors=(errors.NotFound,))
def detach_file(vector_store_id: str, file_id: str) -> store_answers.VectorStoreFileDeleted:
    vector_stores().detach(flow.account(), vector_store_id, file_id)
    return store_answers.VectorStoreFileDeleted(id=file_id)


@api.post("/v1/vector_stores/<vector_store_id>/file_batches")
@documented("Put several files into a vector store", documented_body=models.BatchBody, errors=ADD, keyed=once)
def attach_files(vector_store_id: str) -> store_answers.FileBatchObject:
    claims, body = flow.claims_and_body(models.BatchBody)
    with flow.admitted(claims, "vector_stores") as account_id:
        batch = vector_stores().attach_batch(account_id, vector_store_id, body.chosen(), flow.now_ms())
    return store_answers.FileBatchObject.of(batch)


@api.get("/v1/vector_stores/<vector_store_id>/file_batches/<batch_id>")
@documented("How far a batch of files is", errors=(errors.NotFound,))
def get_file_batch(vector_store_id: str, batch_id: str) -> store_answers.FileBatchObject:
    return store_answers.FileBatchObject.of(vector_stores().batch(flow.account(), vector_store_id, batch_id))


@api.post("/v1/vector_stores/<vector_store_id>/file_batches/<batch_id>/cancel")
@documented("Stop putting a batch's files into a vector store", errors=CHANGE)
def cancel_file_batch(vector_store_id: str, batch_id: str) -> store_answers.FileBatchObject:
    with flow.admitted(flow.claims(), "vector_stores") as account_id:
        batch = vector_stores().cancel_batch(account_id, vector_store_id, batch_id)
    return store_answers.FileBatchObject.of(batch)


@api.get("/v1/vector_stores/<vector_store_id>/file_batches/<batch_id>/files")
@documented("The files of a batch", documented_query=models.AttachmentsQuery, errors=(errors.NotFound,))
def list_files_of_batch(vector_store_id: str, batch_id: str) -> store_answers.VectorStoreFileListing:
    account_id, query = flow.account_and_query(models.AttachmentsQuery)
    found, more = vector_stores().batch(account_id, vector_store_id, batch_id).page(query.page())
    shown = [store_answers.VectorStoreFileObject.of(one) for one in found]
    return store_answers.VectorStoreFileListing(**answers.listed(shown, more))


@blueprint.before_request
def _expect_upload() -> None:
    """Runs before the page's CSRF check, because that check reads the form."""
    if forms.has_file():
        flow.expect_upload()


blueprint.register_blueprint(api)
blueprint.register_blueprint(documents.blueprint)
blueprint.register_blueprint(chat_files.blueprint)


handler = lambda_handler(blueprint)
