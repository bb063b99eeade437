"""Checks settings whole, and says of each fault where it is, what is wrong and what to write."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from sluice.domain.settings.owners import KEY, REMEDIES, Model, OwnersSettings, SignIn, Upstream
from sluice.domain.settings.terms import PRICES

Place = tuple[str | int, ...]
MAX_PROBLEMS = 20  # that one answer lists
SHOWN_CHARACTERS = 40
HIDDEN = (
    "key",
    "webhook_secret",
    "url",
    "issuer",
)  # their values are not shown, because one may be a secret or hold one
LISTS = ("sign_in", "upstreams", "models", "plans")
MISSING, UNKNOWN = "missing", "extra_forbidden"
UNLIKE = (
    'names "{}" and "{}", which are called in different ways. '
    'Name upstreams of kind "http" and of one protocol only, or none of that kind.'
)
FORMS = {  # by pydantic's name of the fault
    "literal_error": "is not known. Write one of: {expected}.",
    "int_type": "is no whole number. Write digits without quotes, such as {name} = 60.",
    "bool_type": "is neither true nor false. Write true or false, without quotes.",
    "string_type": 'is no text. Write it in quotes, such as {name} = "…".',
    "list_type": 'is no list. Write it in brackets, such as {name} = ["…"].',
    "tables_type": "is no list of tables. Write [[{name}]], with two brackets, and the keys below it.",
    "table_type": "is no table. Write [{name}], and the keys below it.",
    "model_type": "is no list of tables. Write [[{name}]], with two brackets, and the keys below it.",
    "greater_than_equal": "is out of range. Write {ge} or more.",
    "less_than_equal": "is out of range. Write {le} or less.",
    "too_long": "has too many entries. Write {max_length} at most.",
    "too_short": "has no entry. Write one, or leave the key out.",
    "string_too_long": "is too long. Write {max_length} characters at most.",
    "string_too_short": "is empty. Write a text, or leave the key out.",
}


@dataclass(frozen=True)
class Problem:
    """`place`: the key and the tables around it, `("plans", 0, "rpm")`. `message`: a sentence that begins with a verb
    or with the value, and says what to write. `line`: of the file, from 1, or None."""

    place: Place
    message: str
    line: int | None = None

    @property
    def key(self) -> str:
        """`plans[0].rpm`"""
        text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.place)
        return text.removeprefix(".")

    def __str__(self) -> str:
        parts = (f"line {self.line}" if self.line else "", self.key, self.message)
        return ": ".join(filter(None, parts))


class WrongSettings(Exception):
    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)[:MAX_PROBLEMS]
        super().__init__("\n".join(map(str, self.problems)))


def check(raw: object) -> OwnersSettings:
    """The settings of a parsed file or body. Errors: WrongSettings."""
    if not isinstance(raw, Mapping):
        raise WrongSettings([Problem((), "The settings are no table.")])
    try:
        found = OwnersSettings.model_validate(raw)
    except ValidationError as exc:
        faults = exc.errors(include_url=False)[:MAX_PROBLEMS]
        raise WrongSettings(_problem(fault) for fault in faults) from exc
    if problems := list(_between_tables(found)):
        raise WrongSettings(problems)
    return found


# --- faults of one key


def _problem(fault: Any) -> Problem:
    place: Place = fault["loc"]
    kind, about = fault["type"], fault.get("ctx", {})
    if kind == UNKNOWN:
        return Problem(place, _unknown(place))
    if kind == MISSING:
        return Problem(place, f'is missing. Add a line {place[-1]} = "…".')
    if kind == "value_error":
        return Problem(place, f"{_shown(fault['input'], place)}{about['error']}.")
    return Problem(place, _shown(fault["input"], place) + _form(kind, about, place))


def _form(kind: str, about: Mapping[str, Any], place: Place) -> str:
    if kind == "string_pattern_mismatch" or place[-1] in ("key", "webhook_secret"):
        return REMEDIES[about.get("pattern", KEY)]
    if len(place) == 1 and kind in ("list_type", "model_type"):
        kind = "tables_type" if place[0] in LISTS else "table_type"
    expected = str(about.get("expected", "")).replace("'", '"')
    filled = {**about, "name": _name(place), "expected": expected}
    return FORMS.get(kind, "is not accepted ({kind}).").format(kind=kind, **filled)


def _name(place: Place) -> str:
    return str(next(part for part in reversed(place) if isinstance(part, str)))


def _shown(value: Any, place: Place) -> str:
    """The wrong value and a blank."""
    if place[-1] in HIDDEN or isinstance(value, dict | list):
        return ""
    text = f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return (text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…") + " "


def _unknown(place: Place) -> str:
    known = list(_table(place[:-1]).model_fields)
    near = get_close_matches(str(place[-1]).lower(), known, n=1, cutoff=0.5)
    return f"is not known here. Did you mean {near[0]}?" if near else f"is not known here. Known: {', '.join(known)}."


def _table(place: Place) -> type[BaseModel]:
    """The model of the table at this place."""
    kind: Any = OwnersSettings
    for part in place:
        if isinstance(part, str):
            annotation = kind.model_fields[part].annotation
            kind = next(iter(get_args(annotation)), annotation)
    assert isinstance(kind, type) and issubclass(kind, BaseModel)
    return kind


# --- rules between tables


def _between_tables(found: OwnersSettings) -> Iterator[Problem]:
    yield from _site(found)
    yield from _twice((("sign_in", n, "name"), one.name) for n, one in enumerate(found.sign_in))
    for n, provider in enumerate(found.sign_in):
        yield from _provider(n, provider)
    yield from _twice((("upstreams", n, "name"), one.name) for n, one in enumerate(found.upstreams))
    yield from _twice((("plans", n, "name"), one.name) for n, one in enumerate(found.plans))
    yield from _twice(_model_names(found))
    for n, one in enumerate(found.upstreams):
        yield from _upstream(n, one)
        yield from _pinned(n, one.kind, one.pinned, one.models)
        if one.daily_usd is not None and not _is_priced(one) and (what := _unpriced(found, one)):
            message = f"counts nothing of {what}. Add prompt_usd and completion_usd to the upstream: what it costs you."
            yield Problem(("upstreams", n, "daily_usd"), message)
    yield from _models(found)
    yield from _plans(found)
    if (found.payment.key is None) != (found.payment.webhook_secret is None):
        yield Problem(("payment", "webhook_secret"), "and key go together: set both, or neither.")


def _site(found: OwnersSettings) -> Iterator[Problem]:
    if bool(found.site.terms_url) != bool(found.site.terms_version):
        yield Problem(("site", "terms_version"), "and terms_url go together: set both, or neither.")
    if (found.site.sign_up == "domains") != bool(found.site.sign_up_domains):
        message = (
            'is "domains", but no domain is named. Add sign_up_domains = ["example.org"].'
            if found.site.sign_up == "domains"
            else 'has no effect. Add sign_up = "domains", or remove it.'
        )
        name = "sign_up" if found.site.sign_up == "domains" else "sign_up_domains"
        yield Problem(("site", name), message)


def _provider(n: int, one: SignIn) -> Iterator[Problem]:
    if one.kind == "oidc" and one.issuer is None:
        yield Problem(("sign_in", n, "issuer"), 'is missing. Add issuer = "https://…", or write kind = "github".')
    if one.kind == "github" and one.key is None:
        yield Problem(("sign_in", n, "key"), 'is missing. GitHub needs one: add key = "env:NAME".')


def _model_names(found: OwnersSettings) -> Iterator[tuple[Place, str]]:
    for n, model in enumerate(found.models):
        yield ("models", n, "id"), model.id
        yield from ((("models", n, "aliases"), alias) for alias in model.aliases)


def _twice(named: Iterable[tuple[Place, str]], what: str = "name") -> Iterator[Problem]:
    first: dict[str, Place] = {}
    for place, name in named:
        if name in first:
            yield Problem(place, f'"{name}" is used already, by {Problem(first[name], "").key}. Choose another {what}.')
        first.setdefault(name, place)


def _upstream(n: int, one: Upstream) -> Iterator[Problem]:
    if one.kind != "engine" and one.url is None:
        yield Problem(("upstreams", n, "url"), f'is missing. An upstream of kind "{one.kind}" needs url = "https://…".')
    if one.kind == "engine":
        given = {"url": one.url is not None, "key": one.key is not None, "sign": one.sign != "none"}
        for name in (name for name, is_given in given.items() if is_given):
            yield Problem(
                ("upstreams", n, name), 'has no use for the bundled engine. Remove it, or write kind = "openai".'
            )
    if one.protocol != "plain" and one.kind != "http":
        yield Problem(("upstreams", n, "protocol"), 'is of kind "http" only. Remove it, or write kind = "http".')
    if one.key is not None and one.sign != "none":
        yield Problem(("upstreams", n, "sign"), "contradicts key: a request is signed or carries a key. Remove one.")


def _pinned(n: int, kind: str, pinned: Iterable[str], models: Iterable[str]) -> Iterator[Problem]:
    place: Place = ("upstreams", n, "pinned")
    for name in pinned:
        if kind != "engine":
            yield Problem(place, 'is for the bundled engine only. Remove it, or write kind = "engine".')
            return
        if name not in models:
            yield Problem(place, f'"{name}" is not among its models. {_nearest(name, models)}')


def _is_priced(one: Upstream | Model) -> bool:
    return any(getattr(one, f"{what}_usd", None) is not None for what in PRICES)


def _unpriced(found: OwnersSettings, upstream: Upstream) -> str:
    """What it answers for no price, so that nothing of its day would be counted: the first such model, or any. Empty
    if there is none."""
    routed = [(model, reference.partition(":")) for model in found.models for reference in model.upstreams]
    if name := next((model.id for model, (to, _, _) in routed if to == upstream.name and not _is_priced(model)), ""):
        return f'the model "{name}", which has no price'
    if upstream.kind == "http":
        return ""
    decided = {model.id for model in found.models if _is_priced(model) or model.upstreams}
    if name := next((name for name in upstream.models if name not in decided), ""):
        return f'"{name}", which callers may name, too, and which has no price'
    is_named = upstream.kind != "engine" and any(to == upstream.name for _, (to, _, _) in routed)
    return "" if upstream.models or is_named else "its models, of which none needs a price"


def _models(found: OwnersSettings) -> Iterator[Problem]:
    upstreams = {one.name: one for one in found.upstreams}
    for n, model in enumerate(found.models):
        for reference in model.upstreams:
            name, colon, theirs = reference.partition(":")
            place: Place = ("models", n, "upstreams")
            if not colon or not theirs:
                yield Problem(
                    place,
                    f'"{reference}" names no model. Write "UPSTREAM:MODEL", such as "{name or "local"}:{model.id}".',
                )
            elif name not in upstreams:
                yield Problem(place, f'"{name}" is no upstream. {_nearest(name, upstreams)}')
            elif (theirs_all := upstreams[name].models) and theirs not in theirs_all:
                yield Problem(place, f'"{theirs}" is no model of the upstream "{name}". {_nearest(theirs, theirs_all)}')
        forms = {(one.kind == "http", one.protocol): one.name for one in _servers(model, upstreams)}
        if len(forms) > 1:
            first, second = list(forms.values())[:2]
            yield Problem(("models", n, "upstreams"), UNLIKE.format(first, second))
        if model.second_usd is not None and model.max_seconds is None:
            yield Problem(
                ("models", n, "second_usd"), "has no bound. Add max_seconds = 60, the longest answer you charge."
            )


def _servers(model: Model, upstreams: Mapping[str, Upstream]) -> Iterator[Upstream]:
    names = (reference.partition(":")[0] for reference in model.upstreams)
    return (upstreams[name] for name in names if name in upstreams)


def _plans(found: OwnersSettings) -> Iterator[Problem]:
    known = {name for _, name in _model_names(found)}
    for n, plan in enumerate(found.plans):
        for name in plan.models or ():
            if name not in known:
                yield Problem(("plans", n, "models"), f'"{name}" is no model of this file. {_nearest(name, known)}')
    defaults = [n for n, plan in enumerate(found.plans) if plan.default]
    if found.plans and not defaults:
        yield Problem(("plans", 0, "default"), "is missing. Add default = true to the plan of new accounts.")
    priced = ((("plans", n, "stripe_price"), one.stripe_price) for n, one in enumerate(found.plans) if one.stripe_price)
    yield from _twice(priced, "price")
    for n in (n for n in defaults if found.plans[n].stripe_price):
        yield Problem(("plans", n, "stripe_price"), "is of the plan that everybody has who pays nothing. Remove it.")
    for n in defaults[1:]:
        yield Problem(("plans", n, "default"), f'is true of "{found.plans[defaults[0]].name}", too. Keep one of them.')


def _nearest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    if near := get_close_matches(name, names, n=1, cutoff=0.5):
        return f'Did you mean "{near[0]}"?'
    return "Known: " + ", ".join(f'"{one}"' for one in names[:10]) + "." if names else "Add it first."
