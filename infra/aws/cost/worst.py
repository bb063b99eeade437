"""The most that a month can cost, whoever calls: what the templates allow, used up all month, at list prices.

The rates, the functions' concurrency and the tables' maxima are limits that AWS keeps. How large an answer is comes
from the code where it has an end, and is assumed elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum

from infra import reference
from infra.aws.cost.bounds import Bounds, Method
from infra.aws.cost.inputs import assumed, price, template
from infra.aws.cost.model import HOURS, MILLION, idle
from infra.openapi import TARGET
from sluice.domain.documents.uploads import MAX_FILE_BYTES
from sluice.pages import assets

SECONDS = HOURS * 3600
DAYS = HOURS / 24
LAMBDA_ANSWER_BYTES = 6_000_000  # the longest answer that Lambda passes on at once
MODEL_ROUTES = ("/completions", "/responses", "/embeddings", "/messages", "/infer", "/run/{model+}")
SMALL_ACCOUNT = 10  # functions at once in a new account, where nothing is reserved


@dataclass(frozen=True)
class Most:
    what: str
    bound: str
    usd: float


def worst_month(given: Mapping[str, str], at_once: int = SMALL_ACCOUNT) -> list[Most]:
    """The lines and their sum. `at_once`: the account's limit, which counts where nothing is reserved."""
    bounds = Bounds(given)
    lines = [*_calls(bounds), *_functions(bounds, at_once), *_store(bounds), *_rest(bounds)]
    return [*lines, Most("**together**", "", fsum(one.usd for one in lines))]


def _calls(bounds: Bounds) -> list[Most]:
    rate = fsum(bounds.rates.values())
    calls = rate * SECONDS
    bytes_out = sum(rate * _answer_bytes(method) for method, rate in bounds.rates.items()) * SECONDS
    return [
        Most("calls of the API", f"{rate:,.1f} a second, {calls / MILLION:,.0f} million", calls * _million("rest_api")),
        Most("logs", "the same", calls * assumed("access_log_bytes") / 1e9 * price("cloudwatch_logs_gb_in")),
        Most("traces", "5 % of them", calls * 0.05 * price("xray_million_traces") / MILLION),
        Most(
            "runs of functions", "two for each: it may call the model or write an event", 2 * calls * _million("lambda")
        ),
        Most("data out", f"{bytes_out / 1e12:,.1f} TB", bytes_out / 1e9 * price("data_out_gb")),
    ]


def throttled_usd() -> float:
    """A month of a thousand calls a second that API Gateway throttles: it charges none, but logs a line about each."""
    line = template()["Resources"]["Api"]["Properties"]["AccessLogSetting"]["Format"]
    return 1000 * SECONDS * len(line) / 1e9 * price("cloudwatch_logs_gb_in")


def _million(what: str) -> float:
    return price(f"{what}_million_requests") / MILLION


def _answer_bytes(method: Method) -> float:
    """The largest answer of a method."""
    if method[0] == "OPTIONS":
        return 0
    match method[1]:
        case "/openapi.json":
            return len(TARGET.read_bytes())
        case "/docs" | "/docs/{name+}":
            return max(path.stat().st_size for path in reference.TARGET.parent.iterdir())
        case "/static/{name}":
            return max(len(assets.content(name)) for name in assets.ASSETS)
        case path if path.endswith("/content"):
            return MAX_FILE_BYTES
        case path if path.endswith(("/export", ".csv")):
            return LAMBDA_ANSWER_BYTES
    asks = method[0] == "POST" and method[1].endswith(MODEL_ROUTES)
    return assumed("answer_kb" if asks else "page_kb") * 1e3


def _functions(bounds: Bounds, at_once: int) -> list[Most]:
    arm = bounds.known["Architecture"] == "arm64"
    second = price("lambda_arm_gb_second" if arm else "lambda_x86_gb_second")
    reserved = bounds.reserved
    if not reserved:
        largest = max(bounds.memory_gb(name) for name in bounds.functions)
        usd = at_once * largest * SECONDS * second
        return [Most("functions", f"{at_once} at once, the account's limit, of {largest:.1f} GB each", usd)]

    def busy(what: str, *names: str) -> Most:
        several = sum(reserved[name] for name in names)
        usd = sum(reserved[name] * bounds.memory_gb(name) for name in names) * SECONDS * second
        return Most(what, f"{several} at once", usd)

    others = sorted(set(reserved) - {"GatewayFunction", "InferenceFunction"})
    model = [busy("the model", "InferenceFunction")] if "InferenceFunction" in reserved else []
    return [*model, busy("the gateway", "GatewayFunction"), busy("all other functions", *others)]


def _store(bounds: Bounds) -> list[Most]:
    """A write unit holds 1 KB at most. What is written in a month is kept for half of it on average."""
    reads, writes = bounds.units
    kept_gb = writes * SECONDS * 1024 / 1e9 / 2
    kept_usd = kept_gb * (price("dynamodb_gb_month") + price("dynamodb_pitr_gb_month"))
    routes = ("/v1/files", "/v1/uploads/{upload_id}/parts", "/my/documents")
    uploads = sum(bounds.rates["POST", route] for route in routes) * SECONDS
    files_gb = uploads * MAX_FILE_BYTES / 1e9 / 2
    puts = uploads * assumed("objects_an_upload") / 1000 * price("s3_thousand_puts")
    return [
        Most("writes to the store", f"{writes:,.0f} units a second", writes * SECONDS * _units("write")),
        Most("reads of the store", f"{reads:,.0f} units a second", reads * SECONDS * _units("read")),
        Most("what was written, kept", f"{kept_gb:,.0f} GB on average", kept_usd),
        Most("uploads, kept", f"{files_gb:,.0f} GB on average", files_gb * price("s3_gb_month") + puts),
    ]


def _units(kind: str) -> float:
    return price(f"dynamodb_million_{kind}_units") / MILLION


def _rest(bounds: Bounds) -> list[Most]:
    mails = assumed("ses_mails_a_day")
    metrics = assumed("custom_metrics")
    by_ses = [Most("mails", f"{mails:,.0f} a day", mails * DAYS / 1000 * price("ses_thousand_mails"))]
    return [
        *(by_ses if bounds.known["Mail"] == "ses" else []),
        Most("metrics of the code", f"{metrics:,.0f}", metrics * price("cloudwatch_metric_month")),
        Most("what it costs without requests", "", idle()[-1].usd),
    ]
