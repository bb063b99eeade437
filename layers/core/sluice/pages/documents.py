"""Pages to upload, list, search and delete the user's documents. A document's content is shown only as text."""

import re

from flask import Response, request
from pydantic import BaseModel, Field
from werkzeug.exceptions import RequestEntityTooLarge
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
from sluice.pages.words import _, later, noted
from sluice.services.gateway.request import playground_claims
from sluice.wiring import stores
from sluice.wiring.documents import files, my_documents, retrieval, storage_bytes

blueprint = pages("pages")
FOUND = 10
SHOWN_PASSAGES = 200
ENDINGS = "text/*,.txt,.md,.markdown,.mdx,.html,.htm,.pdf,.docx"
SCRIPTS = ("documents.js",)
# Words of a question that are in every passage.
COMMON = frozenset(
    ("does", "from", "have", "that", "there", "these", "they", "this", "what", "when", "where", "which", "with", "your")
)
NOTES = {
    "kept": later("Uploaded. Reading it now…"),
    "deleted": later("The document is deleted."),
}


class SearchQuery(BaseModel):
    q: str = Field("", max_length=QUERY_CHARACTERS)


@blueprint.get("/my/documents")
@members
def documents(caller: Caller) -> Response:
    note = request.args.get("note", "")
    return _list_page(caller, 200, _refused(_too_much()) if note == "too-large" else forms.Form(), noted(NOTES))


@blueprint.post("/my/documents")
@members
def upload(caller: Caller) -> AnyResponse:
    """Each file counts as one request by the API. What was kept before one is refused stays."""
    sent = [file for file in request.files.getlist("file") if file.filename]
    if not sent:
        return _list_page(caller, 422, _refused(_("Choose a file first.")))
    for file in sent:
        name = str(file.filename)
        try:
            body = flow.body_of(file)
            with flow.admitted(playground_claims(caller.account_id, now_ms() // 1000), "files") as account_id:
                my_documents().keep(account_id, name, body, now_ms())
        except errors.ValidationFailed as exc:
            return _list_page(caller, 422, _refused(*(f"{name}: {problem.message}" for problem in exc.problems)))
        except errors.RequestTooLarge as exc:
            return _list_page(caller, 413, _refused(f"{name}: {exc.message}"))
    return see("/my/documents", note="kept")


@blueprint.errorhandler(RequestEntityTooLarge)
def too_large(exc: RequestEntityTooLarge) -> AnyResponse:
    """The request was refused before it was read, so its caller and its form are not known."""
    return see("/my/documents", note="too-large")


def _too_much() -> str:
    most = _("A file may have at most %(most)s MiB.", most=MAX_FILE_BYTES // MIB)
    together = _("Without scripts, so may all files that are sent at once.")
    return f"{most} {together}"


def _refused(*messages: str) -> forms.Form:
    return forms.Form().with_problems([errors.FieldProblem("file", message) for message in messages])


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
    shown = [(passage, marked(passage.text, asked.q)) for passage in found]
    return page("documents_search.html", form=forms.Form({"q": asked.q}), found=shown)


def marked(text: str, asked: str) -> list[str]:
    """The text in pieces; every second one is a word that was asked for."""
    words = {word for word in re.findall(r"\w{4,50}", asked.casefold()) if word not in COMMON}
    return re.split(rf"\b({'|'.join(sorted(words))})\b", text, flags=re.IGNORECASE) if words else [text]


@blueprint.get("/my/documents/<file_id>")
@members
def one(caller: Caller, file_id: str) -> Response:
    document = my_documents().one(caller.account_id, file_id)
    passages = my_documents().passages(caller.account_id, file_id)
    shown, more = passages[:SHOWN_PASSAGES], len(passages)
    return page("document.html", scripts=SCRIPTS, document=document, passages=shown, more=more)


@blueprint.get("/my/documents/<file_id>/content")
@members
def content(caller: Caller, file_id: str) -> Response:
    return flow.download(*files().opened(caller.account_id, file_id))


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
        most_bytes=MAX_FILE_BYTES,
        endings=ENDINGS,
        scripts=SCRIPTS,
    )
