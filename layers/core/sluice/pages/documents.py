"""Pages to upload, list, search and delete the user's documents. A document's content is shown only as text."""

from flask import Response, request
from pydantic import BaseModel, Field
from werkzeug.wrappers import Response as AnyResponse

from sluice.domain import errors
from sluice.domain.documents.retrieval import QUERY_CHARACTERS, SearchOptions
from sluice.domain.documents.uploads import MAX_FILE_BYTES, MIB
from sluice.http.auth import Caller, now_ms
from sluice.http.documents import files as flow
from sluice.http.operation import validated
from sluice.pages import forms
from sluice.pages.blueprints import members, pages
from sluice.pages.render import page, see
from sluice.services.gateway.request import playground_claims
from sluice.wiring import stores
from sluice.wiring.documents import files, my_documents, retrieval, storage_bytes

blueprint = pages("pages")
FOUND = 10
SHOWN_PASSAGES = 200
NOTES = {
    "kept": "The document is here. It can be searched as soon as it is ready: a moment after, for most.",
    "deleted": "The document is deleted.",
}


class SearchQuery(BaseModel):
    q: str = Field("", max_length=QUERY_CHARACTERS)


@blueprint.get("/my/documents")
@members
def documents(caller: Caller) -> Response:
    return _list_page(caller, 200, forms.Form(), NOTES.get(request.args.get("note", ""), ""))


@blueprint.post("/my/documents")
@members
def upload(caller: Caller) -> AnyResponse:
    try:
        filename, body = flow.sent_file()
        if not filename:
            raise errors.ValidationFailed((errors.FieldProblem("file", "Choose a file first."),))
        with flow.admitted(playground_claims(caller.account_id, now_ms() // 1000), "files") as account_id:
            my_documents().keep(account_id, filename, body, now_ms())
    except errors.ValidationFailed as exc:
        return _list_page(caller, 422, forms.Form().with_problems(exc.problems))
    except errors.RequestTooLarge as exc:
        return _list_page(caller, 413, forms.Form().with_problems([errors.FieldProblem("file", exc.message)]))
    return see("/my/documents", note="kept")


@blueprint.get("/my/documents/search")
@members
def search(caller: Caller) -> Response:
    """The search counts as one by the API. Errors: as `Admission.admit`, SearchUnavailable."""
    asked = validated(SearchQuery, request.args.to_dict())
    found = []
    if asked.q.strip():
        stores = my_documents().searched(caller.account_id, now_ms())
        with flow.admitted(playground_claims(caller.account_id, now_ms() // 1000), "vector_stores") as account_id:
            found = retrieval().find(account_id, [asked.q], SearchOptions(stores, FOUND))
    return page("documents_search.html", form=forms.Form({"q": asked.q}), found=found)


@blueprint.get("/my/documents/<file_id>")
@members
def one(caller: Caller, file_id: str) -> Response:
    document = my_documents().one(caller.account_id, file_id)
    passages = my_documents().passages(caller.account_id, file_id)
    return page("document.html", document=document, passages=passages[:SHOWN_PASSAGES], more=len(passages))


@blueprint.get("/my/documents/<file_id>/content")
@members
def content(caller: Caller, file_id: str) -> Response:
    file, body = files().content(caller.account_id, file_id)
    return flow.download(file.filename, body)


@blueprint.post("/my/documents/<file_id>/delete")
@members
def delete(caller: Caller, file_id: str) -> AnyResponse:
    files().delete(caller.account_id, file_id)
    return see("/my/documents", note="deleted")


def _list_page(caller: Caller, status: int, form: forms.Form, note: str = "") -> Response:
    found = my_documents().all(caller.account_id)
    return page(
        "documents.html",
        status,
        documents=found,
        form=form,
        note=note,
        held_bytes=stores.file_store().held_bytes(caller.account_id),
        limit_bytes=storage_bytes(caller.account_id),
        most_mib=MAX_FILE_BYTES // MIB,
    )
