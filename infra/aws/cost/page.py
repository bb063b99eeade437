"""Generates docs/cost.md, text included, so that every figure in it is computed."""
# ruff: noqa: E501  (lines of the page)

from collections.abc import Iterable

from infra.aws.cost import inputs, model
from infra.aws.cost.inputs import assumed, assumptions, counts, price_list
from infra.aws.cost.model import SERVERS

SIZES_MB = (3008, 10240)


def money(usd: float) -> str:
    return f"${usd:,.2f}" if usd >= 0.01 or usd == 0 else f"${usd:.2g}"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def page() -> str:
    return "\n".join([*_head(), *_idle(), *_requests(), *_tokens(), *_servers(), *_inputs()]).rstrip() + "\n"


def _head() -> list[str]:
    dated = price_list()
    return [
        "# What it costs on AWS",
        "<!-- Written by `python -m infra.aws.cost --write`; a test holds it to the script. -->",
        f"List prices of {dated['region']}, {dated['as_of']}, in US dollars. {dated['note']}",
        "Nothing was run on AWS, so no figure comes from a bill. The calls of the code are counted (`tests/integration/aws/cost`), the",
        "prices are in `infra/aws/cost/prices.json`, and the assumptions are at the end, each with its reason.",
        "",
    ]


def _idle() -> list[str]:
    lines = model.idle()
    rows = [(line.what, line.amount, money(line.usd), money(line.usd_free)) for line in lines]
    over = "under" if lines[-1].usd_free <= 1 else "over"
    return [
        "## Without requests",
        f"A month with {assumed('idle_store_gb'):g} GB in the store: {money(lines[-1].usd_free)} with the free amounts of an account (other",
        f"systems in the account use them, too), {over} a dollar; {money(lines[-1].usd)} without them.",
        "",
        *table(("", "amount", "list price", "with free amounts"), rows),
        "An account's first dashboards and alarms are free; a second deployment in the account pays for them. Functions, the",
        "API, streams, queues, keys (standard parameters) and log groups cost nothing while they are not used. Each further gigabyte",
        f"in the store costs {money(inputs.price('dynamodb_pitr_gb_month'))} of recovery, and beyond {inputs.free('dynamodb_gb_month'):g} of them {money(inputs.price('dynamodb_gb_month'))} more.",
        "",
    ]


def _requests() -> list[str]:
    hot = counts()["request"]
    writes, _ = model.metering_units(assumed("metering_batch"))
    columns = [model.per_request(model.seconds_of_answer(size)) for size in SIZES_MB]
    rows = [(what, *(money(one[what] * model.MILLION) for one in columns)) for what in columns[0]]
    total = ("**together**", *(money(sum(one.values()) * model.MILLION) for one in columns))
    held = ", ".join(f"{model.seconds_of_answer(size):.1f} s at {size:,} MB" for size in SIZES_MB)
    saved = hot["write_units"] - counts()["request_without_content"]["write_units"]
    return [
        "## A million requests, without the model",
        f"A request makes {hot['calls']} calls to the store and takes {hot['write_units']:g} write units: "
        + ", ".join(f"{units:g} on {name}" for name, units in hot["written"].items())
        + f"; metering adds {writes:.1f}",
        f"in batches of {assumed('metering_batch'):g}. Without stored content (`store_content: false`) it is {saved:g} less.",
        f"Most of it is the gateway, which waits while the model answers ({held}).",
        "",
        *table(("", *(f"model with {size:,} MB" for size in SIZES_MB)), [*rows, total]),
        f"A thousand mails cost {money(inputs.price('ses_thousand_mails'))}. A sign-up sends one.",
        "",
        "Files and vector stores are not in these figures.",
        "",
        "In months with traffic there are also custom metrics, at $0.30 each after the first ten, paid per hour in which they",
        f"are sent. The template sends some per function and model, and API Gateway's detailed ones ({model.METRICS_A_METHOD} a method) for the",
        f"methods that are called: a dozen of them in every hour of a month are {money(12 * model.METRICS_A_METHOD * inputs.price('cloudwatch_metric_month'))}.",
        "",
    ]


def _tokens() -> list[str]:
    rows = []
    for size in SIZES_MB:
        prompt, answer = model.million_tokens_usd(size)
        speed = assumed("completion_tokens_per_cpu_second") * model.cores(size)
        whole, request = model.seconds_of_answer(size), model.request_usd(size)
        rows.append(
            (f"{size:,} MB", f"{speed:.0f}", money(prompt), money(answer), f"{whole:.1f} s", money(request * 1000))
        )
    head = (
        "memory",
        "tokens/s of an answer",
        "million prompt tokens",
        "million answer tokens",
        "an answer takes",
        "1,000 requests, all in",
    )
    return [
        "## A million tokens, with the model on Lambda",
        "A model of Qwen2.5-0.5B's size, Q4_0, on arm64. One environment serves one request, so there is no",
        "batching. More memory brings more CPU, so that answers and gateways take less time.",
        "",
        *table(head, rows),
    ]


def _servers() -> list[str]:
    size = SIZES_MB[0]
    rows = [
        (
            server.what,
            money(server.month_usd),
            f"{model.crossing(server, size):,.0f}",
            f"{model.crossing_of_host(server, size):,.0f}",
            f"{server.answers_a_month:,.0f}",
        )
        for server in SERVERS
    ]
    head = ("server, always on", "a month", "all on it: cheaper from", "the model on it: cheaper from", "it can answer")
    cheapest = min(model.crossing(server, size) for server in SERVERS)
    return [
        "## Compared with a small server",
        "In requests per month. The server runs `make up`, the same code; its model batches concurrent requests.",
        "",
        *table(head, rows),
        f"So with this model Lambda is cheaper below some {cheapest:,.0f} requests a month, {cheapest / 30:,.0f} a day: for trials,",
        "peaks and idle times. Above that, put the model on a host of its own",
        "(`InferenceUrl`) and leave the rest as it is; docs/scaling.md says when. A server is a single point of failure without PITR, and",
        "somebody has to patch it; these figures do not include that.",
        "",
    ]


def _inputs() -> list[str]:
    prices = [
        (name.replace("_", " "), money(one["usd"]) + (f" ({one['what']})" if "what" in one else ""), one["source"])
        for name, one in price_list()["prices"].items()
        if one["usd"]
    ]
    rows = [(name.replace("_", " "), f"{one['value']:g}", one["why"]) for name, one in assumptions().items()]
    return [
        "## Assumptions",
        *table(("", "value", "why"), rows),
        "Change them in `infra/aws/cost/assumptions.json` and run `python -m infra.aws.cost`.",
        "",
        "## Prices",
        *table(("", "list price", "from"), prices),
    ]
