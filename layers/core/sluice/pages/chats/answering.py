"""The gateway function's part of the playground: answers for browsers without scripts, and the list of models.

With scripts the page calls `POST /chats/{id}/messages` instead and shows the answer as it streams.
"""

from flask import Response, request
from werkzeug.wrappers import Response as AnyResponse

from sluice.http.auth import Caller
from sluice.http.chats import answer as chat_flow
from sluice.http.chats.requests import MessageBody
from sluice.http.operation import validated
from sluice.pages.blueprints import members, pages
from sluice.pages.render import page, see
from sluice.wiring.chats import chats
from sluice.wiring.gateway import gateway

blueprint = pages("pages")
NEW = "new"


@blueprint.post("/my/chats/<chat_id>/messages")
@members
def say(caller: Caller, chat_id: str) -> AnyResponse:
    """A form with only `replaces` asks for another answer to that message. `chat_id`: `new` for a first message, whose
    chat is made once the message is admitted."""
    replaced = request.form.get("replaces") or None
    content = request.form.get("content", "").replace("\r\n", "\n")  # forms send CRLF line ends
    if replaced and not content:
        content = chats().question(caller.account_id, chat_id, replaced)
    asked = {"content": content, "replaces": replaced, "retrieval": "retrieval" in request.form}
    answered_in = chat_flow.answer_whole(caller, None if chat_id == NEW else chat_id, validated(MessageBody, asked))
    return see(f"/my/chats/{answered_in}", anchor="newest")


@blueprint.get("/my/models")
@members
def models(caller: Caller) -> Response:
    """A piece of a page: the models, as options of a list or as checkboxes. Errors: ModelUnavailable."""
    ticked = request.args.get("as") == "ticks"
    models = gateway().routes()
    names = [str(model["id"]) for model in models.all()] if ticked else models.names("chat")
    return page(
        "models_ticks.html" if ticked else "models_options.html", names=names, chosen=request.args.getlist("models")
    )
