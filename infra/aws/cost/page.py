"""Generates docs/cost.md from `cost.md.j2`, so that every figure in it is computed."""

import sys
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from infra.aws.cost import inputs, model
from infra.aws.cost.worst import throttled_usd, worst_month

SIZES_MB = (3008, 10240)
OTHERS = {  # sets of parameters whose worst month the page tells
    "a new account, which may run 10 functions at once": {"InferenceConcurrency": "0"},
    "a model server of your own (its bill is not included)": {"InferenceUrl": "https://model.example.org"},
    "ten times the rates, the concurrency and the store's units": {
        "ApiRate": "5", "AnonymousRate": "50", "GatewayRate": "30", "TableReads": "1000", "TableWrites": "200",
        "InferenceConcurrency": "40", "GatewayConcurrency": "100", "FunctionConcurrency": "30",
    },
}  # fmt: skip


def money(usd: float) -> str:
    return f"${usd:,.2f}" if usd >= 0.01 or usd == 0 else f"${usd:.2g}"


def render(template: Path, **facts: Any) -> str:
    """A page of the documentation. Templates call the functions of `model` and `inputs` for their figures."""
    made = Environment(  # it writes Markdown of our own figures, so nothing is escaped
        autoescape=False,  # noqa: S701
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"money": money, "f": format}
    made.globals |= {"model": model, "price": inputs.price, "free": inputs.free, "assumed": inputs.assumed}
    return made.from_string(template.read_text()).render(
        sizes=SIZES_MB, counts=inputs.counts(), listed=inputs.price_list(), **facts
    )


def told(given: dict[str, str]) -> str:
    """The worst month with these parameters, a line each. Raises ValueError for one that no template has."""
    lines = worst_month(given)
    return "".join(f"{money(one.usd):>12}  {one.what.strip('*')}  {one.bound}\n" for one in lines)


def main(file: Path, text: str) -> None:
    """Write the page with `--write`, else print it."""
    if "--write" in sys.argv[1:]:
        file.write_text(text)
    else:
        sys.stdout.write(text)


def page() -> str:
    mails_usd = inputs.price("ses_thousand_mails")
    others = {what: (given, worst_month(given)[-1].usd) for what, given in OTHERS.items()}
    facts = {"assumptions": inputs.assumptions(), "mails_usd": mails_usd, "others": others}
    facts |= {"worst": worst_month({}), "throttled_usd": throttled_usd()}
    return render(inputs.FOLDER / "cost.md.j2", **facts)
