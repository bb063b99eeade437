"""The admin's page of the owner's settings: a file without what only the operator changes."""

from collections.abc import Iterator

from flask import Response, request
from pydantic import BaseModel, Field
from werkzeug.wrappers import Response as AnyResponse

from sluice.domain import errors
from sluice.domain.settings.checking import WrongSettings
from sluice.domain.settings.owners import OPERATORS, Model, OwnersSettings, Plan, Site
from sluice.domain.settings.toml import parse, text_of
from sluice.domain.settings.versions import InForce
from sluice.http.admin import actor
from sluice.http.auth import Caller, now_ms
from sluice.http.operation import validated
from sluice.pages import forms
from sluice.pages.blueprints import admins, pages
from sluice.pages.render import page, see
from sluice.pages.words import _, later, translated
from sluice.wiring.settings import owners_terms

blueprint = pages("manage_settings")
SAVED = later("The settings are saved as version %(number)s, in force everywhere within 10 seconds.")
KEYS = (("[site]", Site), ("[[models]]", Model), ("[[plans]]", Plan))
EXAMPLE = """\
# An example. Remove the first two characters of a line to use it.
# [site]
# name = "Ada's models"
# contact = "ada@example.org"
#
# [[models]]
# id = "assistant"
# prompt_usd = "0.10"      # dollars for a million tokens
# completion_usd = "0.40"
#
# [[plans]]
# name = "free"
# default = true           # the plan of new accounts
# rpm = 60
# monthly_tokens = 1_000_000
"""


class SettingsForm(BaseModel):
    version: int = Field(ge=0)
    text: str = Field(max_length=65_536)


@blueprint.get("/manage/settings")
@admins
def settings(caller: Caller) -> Response:
    found = owners_terms().read()
    shown = {"version": str(found.version), "text": _editable(found)}
    note = _(SAVED, number=found.version) if request.args.get("note") == "saved" else ""
    return _shown(200, found, forms.Form(shown), note)


@blueprint.post("/manage/settings")
@admins
def change(caller: Caller) -> AnyResponse:
    found = owners_terms().read()
    try:
        asked = validated(SettingsForm, {name: request.form.get(name, "") for name in ("version", "text")})
        wanted = parse(asked.text, found.or_empty().operators())
        owners_terms().change(actor(caller), asked.version, wanted, now_ms())
    except WrongSettings as exc:
        problems = tuple(errors.FieldProblem("text", str(one)) for one in exc.problems)
        form, status = forms.filled().with_problems(problems), 422
    except (errors.Conflict, errors.Forbidden, errors.ValidationFailed) as exc:
        status, form = forms.refused(exc, "text")
    else:
        return see("/manage/settings", note="saved")
    return _shown(status, found, form)


def keys() -> Iterator[tuple[str, str, str]]:
    """Each key of the form: its table, its name, and what it is (`infra/words.py` takes the texts from here)."""
    for table, kind in KEYS:
        for name, one in kind.model_fields.items():
            yield table, name, (one.description or "").replace("`", "")


def _shown(status: int, found: InForce, form: forms.Form, note: str = "") -> Response:
    shown = [(table, name, translated(text)) for table, name, text in keys()]
    return page("manage_settings.html", status, found=found, form=form, note=note, keys=shown)


def _editable(found: InForce) -> str:
    if found.version == 0:
        return EXAMPLE
    nothing = OwnersSettings()
    return text_of(found.or_empty().model_copy(update={name: getattr(nothing, name) for name in OPERATORS}))
