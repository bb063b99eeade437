"""`make prove-aws`: what only a real account can show. One check for each row of "Never seen" in docs/claims.md.

A check returns what it saw, in words without names, addresses or secrets, because the table is meant to be sent in.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic

from infra.aws.proving import by_aws, by_http
from infra.aws.proving.account import Account, NotShown, Skipped
from infra.aws.smoke import SmokeFailed
from infra.demo.client import DemoError

CHECKS: dict[str, Callable[[Account], str]] = {
    check.__name__.replace("_", "-"): check
    for check in (
        by_http.whole_path, by_http.streams, by_http.limits, by_aws.mail, by_aws.documents, by_aws.alarms,
        by_aws.metrics, by_aws.cold_starts, by_http.throttles, by_aws.function_url, by_http.wrong_method,
        by_aws.rollouts, by_aws.again,
    )
}  # fmt: skip
ONLY_IF_ASKED = frozenset({"again"})


@dataclass(frozen=True)
class Row:
    name: str
    result: str  # shown, failed or skipped
    seen: str
    seconds: float


def prove(account: Account, names: tuple[str, ...] = ()) -> Iterator[Row]:
    """Run the named checks, or all but those that must be asked for. One that fails stops no other."""
    for name in names or [name for name in CHECKS if name not in ONLY_IF_ASKED]:
        began = monotonic()
        try:
            result, seen = "shown", CHECKS[name](account)
        except Skipped as exc:
            result, seen = "skipped", str(exc)
        except (NotShown, SmokeFailed, DemoError) as exc:
            result, seen = "failed", str(exc)
        except Exception as exc:  # of AWS: a denied call is a row of the table, too
            code = getattr(exc, "response", {}).get("Error", {}).get("Code", "")
            result, seen = "failed", f"{type(exc).__name__} {code}".strip()
        yield Row(name, result, seen.replace(account.email, "EMAIL"), monotonic() - began)
