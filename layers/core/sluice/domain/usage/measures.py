"""All metrics, declared as data. They use base units (seconds, counts), as Prometheus and CloudWatch recommend."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["count", "distribution", "level"]

SECONDS = (0.001, 0.002, 0.003, 0.004, 0.006, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
WAITS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0)
WRITES = (1.0, 2.0, 3.0, 4.0)
LEASES = (0.0, 1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1000.0, 5000.0)


@dataclass(frozen=True)
class Measure:
    """Each of `labels` has few possible values (a route, a reason, never an id), because each value costs memory."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = SECONDS


HTTP_REQUESTS = Measure("http_requests", "count", "Answers, by route and status.", ("method", "route", "status"))
REFUSALS = Measure("refusals", "count", "Requests on /v1 that were refused, by error code.", ("reason",))
ADMISSION = Measure("admission_seconds", "distribution", "From asking the store to its decision, refusals included.")
ADMISSION_WRITES = Measure("admission_writes", "distribution", "Writes one admission took.", bounds=WRITES)
REQUESTS = Measure("requests", "count", "Settled requests, by endpoint and status.", ("endpoint", "status"))
TOKENS = Measure("tokens", "count", "Model tokens of settled requests.", ("model", "kind"))
SPEND = Measure("spend_micro_usd", "count", "Prices of settled requests, in millionths of a dollar.")
FIRST_TOKEN = Measure("first_token_seconds", "distribution", "From admission to the first token.", ("endpoint",))
SETTLEMENT = Measure("settlement_seconds", "distribution", "Both writes of a settlement, retries included.")
SETTLEMENT_FAILURES = Measure("settlement_failures", "count", "Settlements left to the sweeper.")
RUNNING = Measure("running_leases", "level", "Requests that are admitted and not settled.")
WAITING = Measure("waiting_requests", "level", "Requests that wait for their turn to be admitted.")
QUEUE_WAITED = Measure(
    "queue_waited_seconds", "distribution", "How long requests waited that were admitted then.", bounds=WAITS
)
QUEUE_PREDICTED = Measure(
    "queue_predicted_seconds", "distribution", "What the same requests were told when they began to wait.", bounds=WAITS
)
SWEPT = Measure("swept", "count", "What the sweeper did.", ("what",))
LEASES_SEEN = Measure(
    "leases_seen", "distribution", "Running requests of all accounts, as each sweep finds them.", bounds=LEASES
)
LEASE_OVERDUE = Measure(
    "lease_overdue_seconds", "distribution", "How long the oldest lease that a sweep found had been expired.",
    bounds=(0.0, 10.0, 30.0, 60.0, 90.0, 180.0, 600.0),
)  # fmt: skip
METERED = Measure("metered_records", "count", "Ledger records that metering saw.", ("result",))

MEASURES = (
    HTTP_REQUESTS, REFUSALS, ADMISSION, ADMISSION_WRITES, REQUESTS, TOKENS, SPEND, FIRST_TOKEN, SETTLEMENT,
    SETTLEMENT_FAILURES, RUNNING, WAITING, QUEUE_WAITED, QUEUE_PREDICTED, SWEPT, LEASES_SEEN, LEASE_OVERDUE, METERED,
)  # fmt: skip
