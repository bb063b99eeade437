"""The arithmetic of docs/cost.md. Money is in US dollars a month unless a name says otherwise; nothing is rounded.

Three inputs: counted calls (`counts.json`, checked by a test), list prices (`prices.json`, dated), and assumptions
(`assumptions.json`, each with its reason). Memory sizes and alarms are read from the template.
"""

import re
from dataclasses import dataclass

from infra.aws.cost.inputs import (
    alarm_metrics,
    assumed,
    count_of,
    counts,
    free,
    memory_mb,
    price,
    price_list,
    resources,
)

HOURS, MINUTES = 730, 730 * 60  # per month
MILLION = 1_000_000
VCPU_MB = 1769  # memory with which Lambda gives one vCPU
LONG_POLL_SECONDS = 20
IDLE_METRICS = 2  # sent by the sweeper each minute: running requests, and the age of the oldest expired lease
METERING_SIZES = (1, 25)  # the counted batch sizes


@dataclass(frozen=True)
class Line:
    """`usd`: at list price. `usd_free`: minus the free amounts that do not end after a year."""

    what: str
    amount: str
    usd: float
    usd_free: float


def lambda_usd(seconds: float, megabytes: int) -> float:
    """The price of one invocation of `seconds` with `megabytes`."""
    return seconds * megabytes / 1024 * price("lambda_arm_gb_second") + price("lambda_million_requests") / MILLION


def _beyond_free(amount: float, name: str) -> tuple[float, float]:
    return amount * price(name), max(0.0, amount - free(name)) * price(name)


# --- idle: a deployment without requests


def runs_a_month(function: str) -> float:
    """Of the function's schedule, `rate(5 minutes)`."""
    events = resources()[function]["Properties"]["Events"].values()
    (schedule,) = [one["Properties"]["Schedule"] for one in events if one["Type"] == "Schedule"]
    found = re.fullmatch(r"rate\((\d+) minutes?\)", schedule)
    assert found, schedule
    return MINUTES / int(found[1])


def scheduled_usd(function: str, seconds: float) -> float:
    """A month of its runs, and of the starts of its environment. 400,000 GB-seconds of an account are free."""
    memory = memory_mb(function)
    starts = HOURS / assumed("environment_hours")
    return runs_a_month(function) * lambda_usd(seconds, memory) + starts * lambda_usd(assumed("init_seconds"), memory)


def queues() -> int:
    """How many start a function."""
    events = [one.get("Properties", {}).get("Events", {}) for one in resources().values()]
    return sum(source["Type"] == "SQS" for one in events for source in one.values())


def idle() -> list[Line]:
    store_gb = assumed("idle_store_gb")
    sweeps = scheduled_usd("SweeperFunction", assumed("sweep_seconds"))
    leftovers = scheduled_usd("IngestionFunction", assumed("leftovers_seconds"))
    polls = queues() * assumed("idle_pollers") * MINUTES * 60 / LONG_POLL_SECONDS / MILLION
    reads = counts()["sweep_of_nothing"]["read_units"] * MINUTES
    logs_gb = MINUTES * 600 / 1e9
    metrics = alarm_metrics()
    fixed = [
        Line("sweeper, once a minute", f"{runs_a_month('SweeperFunction'):,.0f} runs", sweeps, 0.0),
        Line("its reads", f"{reads:,.0f} read units", *(2 * [reads / MILLION * price("dynamodb_million_read_units")])),
        Line("ingestion, on its schedule", f"{runs_a_month('IngestionFunction'):,.0f} runs", leftovers, 0.0),
        Line("Lambda asking four queues", f"{polls:.2f} million times", *_beyond_free(polls, "sqs_million_requests")),
        Line("store", f"{store_gb:g} GB", *_beyond_free(store_gb, "dynamodb_gb_month")),
        Line("point-in-time recovery", f"{store_gb:g} GB", *(2 * [store_gb * price("dynamodb_pitr_gb_month")])),
        Line("alarms", f"{metrics} metrics", *_beyond_free(metrics, "cloudwatch_alarm_metric_month")),
        Line("dashboard", "1", *_beyond_free(count_of("AWS::CloudWatch::Dashboard"), "cloudwatch_dashboard_month")),
        Line("metrics sent while idle", str(IDLE_METRICS), *_beyond_free(IDLE_METRICS, "cloudwatch_metric_month")),
        Line("logs of the sweeper", f"{logs_gb * 1000:.0f} MB", *_beyond_free(logs_gb, "cloudwatch_logs_gb_in")),
        Line("the model's image", f"{assumed('image_gb'):g} GB", *(2 * [assumed("image_gb") * price("ecr_gb_month")])),
        Line("packages", f"{assumed('packages_gb'):g} GB", *(2 * [assumed("packages_gb") * price("s3_gb_month")])),
    ]
    return [*fixed, Line("**together**", "", sum(line.usd for line in fixed), sum(line.usd_free for line in fixed))]


# --- the model


def cores(megabytes: int) -> float:
    """Effective cores: the first counts fully, each further one by `extra_core_efficiency`."""
    vcpu = megabytes / VCPU_MB
    return vcpu if vcpu <= 1 else 1 + (vcpu - 1) * assumed("extra_core_efficiency")


def seconds_of_answer(megabytes: int) -> float:
    speed = cores(megabytes)
    prompt = assumed("prompt_tokens") / (assumed("prompt_tokens_per_cpu_second") * speed)
    return prompt + assumed("completion_tokens") / (assumed("completion_tokens_per_cpu_second") * speed)


def model_usd(megabytes: int) -> float:
    """The price of one answer of the model on Lambda, with its share of starts."""
    start = assumed("cold_share") * assumed("model_init_seconds")
    return lambda_usd(seconds_of_answer(megabytes) + start, megabytes)


def million_tokens_usd(megabytes: int) -> tuple[float, float]:
    """The prices of a million prompt tokens and of a million completion tokens."""
    second = megabytes / 1024 * price("lambda_arm_gb_second")
    prompt = MILLION / (assumed("prompt_tokens_per_cpu_second") * cores(megabytes)) * second
    return prompt, MILLION / (assumed("completion_tokens_per_cpu_second") * cores(megabytes)) * second


# --- a million requests, without the model


def metering_units(batch: float) -> tuple[float, float]:
    """Write and read units per record, interpolated between the counted batch sizes 1 and 25."""
    small, large = (counts()[f"metering_of_{'one' if size == 1 else size}"] for size in METERING_SIZES)
    share = (1 / batch - 1 / METERING_SIZES[1]) / (1 - 1 / METERING_SIZES[1])

    def between(kind: str) -> float:
        first, last = small[kind], large[kind] / METERING_SIZES[1]
        return float(last + share * (first - last))

    return between("write_units"), between("read_units")


def per_request(model_seconds: float, content: bool = True) -> dict[str, float]:
    """Dollars by purpose. `model_seconds`: how long the gateway waits for the answer."""
    hot = counts()["request" if content else "request_without_content"]
    batch = assumed("metering_batch")
    meter_writes, meter_reads = metering_units(batch)
    held = model_seconds + assumed("gateway_overhead_seconds")
    written = (hot["write_units"] + meter_writes) / MILLION * price("dynamodb_million_write_units")
    looked = (hot["read_units"] + meter_reads) / MILLION * price("dynamodb_million_read_units")
    return {
        "REST API": price("rest_api_million_requests") / MILLION,
        "gateway, while it streams": lambda_usd(held, memory_mb("GatewayFunction")),
        "starts of the gateway (1 % of requests)": assumed("cold_share")
        * lambda_usd(assumed("init_seconds"), memory_mb("GatewayFunction")),
        "store: admission, ledger, content, metering": written + looked,
        "metering": lambda_usd(0.1, memory_mb("MeteringFunction")) / batch,
        "logs": assumed("access_log_bytes") / 1e9 * price("cloudwatch_logs_gb_in"),
        "traces (5 % of requests)": 0.05 / MILLION * price("xray_million_traces"),
        "data out": assumed("answer_kb") / 1e6 * price("data_out_gb"),
    }


def request_usd(megabytes: int) -> float:
    """The price of one request, with the model on Lambda."""
    return sum(per_request(seconds_of_answer(megabytes)).values()) + model_usd(megabytes)


# --- against a server


@dataclass(frozen=True)
class Server:
    name: str
    vcpus: int

    @property
    def what(self) -> str:
        return str(price_list()["prices"][self.name]["what"])

    @property
    def month_usd(self) -> float:
        return price(self.name) * HOURS + 20 * price("ebs_gb_month")

    @property
    def answers_a_month(self) -> float:
        """At the assumed load. The server runs everything, and its model batches concurrent requests."""
        cpu_seconds = assumed("prompt_tokens") / assumed("prompt_tokens_per_cpu_second")
        together = assumed("completion_tokens_per_cpu_second") * assumed("server_batching")
        cpu_seconds += assumed("completion_tokens") / together
        return self.vcpus * HOURS * 3600 * assumed("server_load") / cpu_seconds


SERVERS = (Server("server_small_hour", 2), Server("server_compute_hour", 2))


def crossing(server: Server, megabytes: int) -> float:
    """Requests per month above which the server is cheaper than Lambda."""
    fixed = idle()[-1].usd_free
    return max(0.0, server.month_usd - fixed) / request_usd(megabytes)


def crossing_of_host(server: Server, megabytes: int) -> float:
    """The same when only the model runs on the server and the gateway stays on Lambda."""
    return server.month_usd / model_usd(megabytes)
