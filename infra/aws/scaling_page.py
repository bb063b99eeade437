"""`python -m infra.aws.scaling_page [--write]`: generates docs/scaling.md from `infra.aws.scaling`."""
# ruff: noqa: E501  (lines of the page)

import sys

from infra.aws import scaling
from infra.aws.cost import inputs, model
from infra.aws.cost.inputs import TEMPLATE, assumed, counts
from infra.aws.cost.page import money, table
from infra.aws.scaling import SIZES_MB
from sluice.domain.gateway.leases import LEASE_SHARDS

PAGE = TEMPLATE.parent / "docs" / "scaling.md"
STREAM_SECONDS = 4.0
HOT_RATES = (50, 200, 300, 320, 350, 400, 600)
ACCOUNTS = (10, 1_000, 100_000)
RATE = 1_000


def page() -> str:
    parts = [*_head(), *_accounts(), *_rate(), *_hot_account(), *_partitions(), *_sweeper(), *_model(), *_order()]
    return "\n".join(parts).rstrip() + "\n"


def _head() -> list[str]:
    hot = counts()["request"]
    return [
        "# How far it scales",
        "<!-- Written by `python -m infra.aws.scaling_page --write`; a test holds it to the script. -->",
        "The figures are computed from counted calls and, where that is not enough, simulated. No load test was run on AWS;",
        "DynamoDB's limits are from its documentation, and assumptions are marked. One machine: [performance.md](performance.md).",
        "",
        f"A request makes {hot['calls']} calls to the store while the caller waits, and takes {hot['write_units']:g} write units ("
        + ", ".join(f"{units:g} on {name}" for name, units in hot["written"].items())
        + "); metering adds",
        f"{model.metering_units(assumed('metering_batch'))[0]:.1f} later. All keys begin with the account, so accounts do not affect each other. Limits exist for one account, and for shared parts.",
        "",
    ]


def _accounts() -> list[str]:
    rows = []
    for accounts in ACCOUNTS:
        megabytes = accounts * 2.5 / 1000  # account, address, grant, some API tokens and sessions
        pages = -(-2 * accounts // 2000)
        rollup_mb = accounts * 30 * 150 / 1e6
        rows.append(
            (
                f"{accounts:,}",
                f"{megabytes:,.1f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB",
                f"{pages:,}",
                "whole" if rollup_mb <= 40 else f"in parts: 40 of {rollup_mb:,.0f} MB",
            )
        )
    head = (
        "accounts",
        "rows about them, some 2.5 kB each",
        "calls of an admin's full search",
        "an admin's view of a month's usage",
    )
    return [
        "## Accounts",
        "The number of accounts does not affect a request, which reads and writes its own keys. It affects an admin's",
        "searches, which are bounded scans (ADR 22) and report when they are incomplete:",
        "",
        *table(head, rows),
        "With a hundred thousand accounts, search by id or whole address (one read each), and compute total usage from an export of",
        "the table to S3. Metering, mails and sessions grow with activity, not with the number of accounts.",
        "",
    ]


def _rate() -> list[str]:
    rows = []
    for rate in (1, 10, 100, RATE):
        held = [scaling.environments(rate, model.seconds_of_answer(size)) for size in SIZES_MB]
        units = counts()["request"]["write_units"] * rate
        rows.append((f"{rate:,}", f"{units:,.0f}", *(f"{count:,.0f}" for count in held), _enough(held)))
    head = (
        "requests/s",
        "write units/s",
        *(f"gateways, and models of {size:,} MB, at once" for size in SIZES_MB),
        "with 1,000 functions at once",
    )
    return [
        "## Requests a second",
        f"Lambda is the bottleneck, not the store: a gateway waits while its model answers ({model.seconds_of_answer(SIZES_MB[0]):.0f} s and {model.seconds_of_answer(SIZES_MB[1]):.0f} s for {assumed('completion_tokens'):g} tokens of the",
        f"small model of cost.md), and an account may run {scaling.LAMBDA_CONCURRENCY:,} functions at once by default; each request needs two, gateway and model.",
        "",
        *table(head, rows),
        "Raise, in this order: `InferenceConcurrency` (10, which limits the cost of a runaway), `ApiRate` (500), the account's concurrency. Above some",
        "tens of requests a second move the model off Lambda, so that answers are faster and a request needs one function.",
        "A gateway waits most of the time; on a server one process holds hundreds of streams (performance.md).",
        "",
    ]


def _enough(held: list[float]) -> str:
    fits = [2 * count <= scaling.LAMBDA_CONCURRENCY for count in held]
    return "enough" if all(fits) else "enough with the faster one" if any(fits) else "not enough"


def _hot_account() -> list[str]:
    ceilings = scaling.account_ceilings(STREAM_SECONDS)
    rows = []
    for rate in HOT_RATES:
        run = scaling.hot_account(rate, STREAM_SECONDS)
        rows.append((f"{rate:,}", f"{run.throttled / run.asked:.2f}", f"{run.refused_share:.1%}"))
    return [
        "## One hot account",
        f"A partition takes {scaling.PARTITION_UNITS:,} write units a second, and each hot key of an account stays in one partition, even after splits: the",
        "grant is one item, and new records of ledger and contents are appended at the end of their key. With answers of",
        f"{STREAM_SECONDS:g} s (a checkpoint each {scaling.CHECKPOINT_SECONDS:g} s) the limits in requests per second of that account are:",
        "",
        *table(("limit", "requests/s"), [(name, f"{limit:,.0f}") for name, limit in ceilings.items()]),
        f"So about {min(ceilings.values()):,.0f} requests a second: {min(ceilings.values()) * 60:,.0f} a minute, where new accounts have 60. Simulated for the grant alone, a minute each:",
        "",
        *table(("requests/s of one account", "throttled writes a request", "refused with 503"), rows),
        "Below the limit nothing is noticeable. Above it writes are repeated, which adds load, and the rest is refused:",
        "limits stay exact, because a throttled write was not made. Only that account is affected. A customer who needs more",
        "can use one account per service. An administrator should not set a limit above this.",
        "",
    ]


def _partitions() -> list[str]:
    rows = []
    for partitions in (1, 4, 8):
        got = scaling.spread(RATE, 100_000, partitions)
        rows.append(
            (f"{partitions}", f"{got.hottest_units:,.0f}", f"{got.busiest_account:.0f}", f"{got.throttled_share:.1%}")
        )
    share = RATE / len(LEASE_SHARDS)
    return [
        "## Partitions that accounts share",
        f"{RATE:,} requests a second over 100,000 accounts (busy by Zipf's law) on the grants table. A new on-demand table takes",
        f"{scaling.NEW_TABLE_UNITS:,} write units a second in about four partitions, and splits hot ones within minutes:",
        "",
        *table(
            ("partitions", "write units/s on the hottest", "requests/s of the busiest account", "writes throttled"),
            rows,
        ),
        f"So {RATE:,} a second fit a new table. Before a larger launch set the",
        "tables' warm throughput, or run a load test, which doubles it.",
        "",
        f"The busy index has {len(LEASE_SHARDS)} keys. It is written when an account becomes busy and when the sweeper finds it idle, not with each request:",
        f"at worst, when every request is of another account, {RATE:,} entries are added and removed a second, {2 * share:.0f} write units a second on each of its keys.",
        "The audit log has one key a day, for sign-ins from new places and admin actions: at most 1,000 a second. Waiting mails",
        "use four keys: some thousands a second.",
        "",
    ]


def _sweeper() -> list[str]:
    swept = scaling.swept_accounts()
    return [
        "## The sweeper",
        f"It removes accounts from the busy index one after the other, {scaling.CALLS_A_BUSY_ACCOUNT} calls each. At {scaling.CALL_SECONDS * 1000:.0f} ms a call (assumed) a run of {scaling.SWEEP_SECONDS:.0f} s removes {swept:,}:",
        f"so many accounts may become busy per minute ({swept / 60:.0f} a second) before it falls behind. Then the index grows, shards are",
        "read later, and a request whose gateway died is settled minutes later: nothing is lost or counted twice, but the alarm",
        "`LeasesOverdue` starts. **This is the first limit**, at some tens of newly busy accounts a second. The remedy would be a",
        f"schedule for each of the {len(LEASE_SHARDS)} shards ({swept * len(LEASE_SHARDS) // 60:,} a second), which is not built.",
        "",
    ]


def _model() -> list[str]:
    gpu = scaling.gpu_million_tokens_usd()
    lambda_usd = model.million_tokens_usd(SIZES_MB[0])[1]
    server = model.SERVERS[0]
    gpu_month = inputs.price("server_gpu_hour") * model.HOURS
    rows = []
    for size in SIZES_MB:
        seconds = model.seconds_of_answer(size)
        rows.append(
            (f"Lambda, {size:,} MB", "1", f"{1 / seconds:.2f} an environment", money(model.million_tokens_usd(size)[1]))
        )
    answers = server.answers_a_month / assumed("server_load") / (model.HOURS * 3600)
    of_server = server.month_usd / (server.answers_a_month * assumed("completion_tokens")) * model.MILLION
    rows.append((server.what, "8", f"{answers:.2f}", f"{money(of_server)}, at {assumed('server_load'):.0%} load"))
    of_gpu = scaling.GPU_TOKENS_PER_SECOND / assumed("completion_tokens")
    rows.append(
        (
            inputs.price_list()["prices"]["server_gpu_hour"]["what"] + " (assumed speed)",
            "32",
            f"{of_gpu:.1f}",
            f"{money(gpu)}, at {assumed('server_load'):.0%} load",
        )
    )
    return [
        "## The model, on Lambda or elsewhere",
        "One Lambda environment serves one request, so there is no batching: twice the requests need twice the environments and twice",
        "the money. On ECS, Kubernetes or a GPU host the same image batches concurrent requests.",
        "",
        *table(("where", "requests together", "answers/s", "a million tokens of answers"), rows),
        f"- **Lambda** for a small model and few requests, because idle time costs nothing. Up to some {model.crossing_of_host(server, SIZES_MB[0]):,.0f} answers a month.",
        f"- **A CPU host** above that, up to {answers:.1f} answers a second; then two or three of them behind a load balancer.",
        f"- **A GPU host** ({money(gpu_month)} a month) when answers must be fast, when the model needs more than 10 GB, or above some {gpu_month / (lambda_usd / model.MILLION * assumed('completion_tokens')):,.0f} answers a month,",
        "  where Lambda costs as much. To measure the speed of yours run `python -m benchmarks.engine.run`.",
        "",
        "Only the parameter `InferenceUrl` changes.",
        "",
    ]


def _order() -> list[str]:
    return [
        "## The limits, in order",
        *table(
            ("at", "limit", "remedy"),
            [
                (
                    "1 answer/s",
                    "ten model environments (`InferenceConcurrency`)",
                    "raise it, or move the model to a host",
                ),
                (
                    f"{scaling.swept_accounts() / 60:.0f} newly busy accounts/s",
                    "the sweeper",
                    "one schedule per shard (not built)",
                ),
                (
                    "50 to 160 answers/s",
                    "1,000 functions at once, two per request",
                    "move the model off Lambda, then raise the limit",
                ),
                (
                    f"{min(scaling.account_ceilings(STREAM_SECONDS).values()):,.0f} requests/s of one account",
                    "the partitions of its keys",
                    "several accounts",
                ),
                ("500 requests/s", "`ApiRate`; API Gateway itself at 10,000", "raise it"),
                ("4,000 write units/s", "a new table's first partitions", "warm throughput"),
            ],
        ),
    ]


def main() -> None:
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page())
    else:
        sys.stdout.write(page())


if __name__ == "__main__":
    main()
