"""Usage pages show the ledger's numbers of the own account, and page through the log."""

import csv
import io
import re
from datetime import date
from zoneinfo import ZoneInfo

import pytest

from sluice.domain.accounts.account import Account
from sluice.domain.ids import request_id
from sluice.domain.periods import day_of, day_start_ms, rfc3339
from sluice.domain.spans import DAY_MS
from sluice.domain.usage.refusals import Refusal, RefusedDay
from sluice.domain.usage.usage import Amounts, amounts_of, by_day
from sluice.services.usage import sums
from sluice.wiring import stores
from sluice.wiring.usage import refusals
from tests.integration.pages.browser import Browser, Page
from tests.integration.usage.world import HOUR_MS, UsageWorld, now_ms


def test_limits_are_shown_with_the_remaining_amounts(world: UsageWorld, member: Browser, ann: Account) -> None:
    now = now_ms()
    world.set_grant(ann.account_id, tat_requests_ns=(now + 30_000) * 1_000_000)
    page = member.get("/my/usage")
    meters = {attributes["aria-label"] for tag, attributes in page.tags if tag == "meter"}
    assert "Tokens a minute: 40,000 of 40,000 left" in meters
    assert "Tokens a month: 1,000,000 of 1,000,000 left" in meters
    left = next(label for label in meters if label.startswith("Requests a minute"))
    assert 30 <= int(re.search(r": (\d+) of 60 left", left)[1]) <= 45  # type: ignore[index]


def tiles(page: Page) -> dict[str, str]:
    """The big numbers, each with what it is."""
    found = re.findall(r'<div class="tile"><dt>(.*?)</dt><dd>(.*?)</dd></div>', page.html, re.DOTALL)
    return {name: re.sub("<[^>]+>", " ", text) for name, text in found}


def images(page: Page) -> list[str]:
    """Without the site's mark."""
    return [has["src"] for tag, has in page.tags if tag == "img" and "/favicon.svg" not in has["src"]]


def test_sums_by_day_model_and_token_equal_the_ledgers(world: UsageWorld, member: Browser, ann: Account) -> None:
    issued = world.issue(world.login(ann), name="laptop")
    records = [
        world.record(ann.account_id, token_id=issued["id"], model=model) for model in ("demo", "demo", "big<model>")
    ]
    world.deliver(records[:1])  # metering has not folded the others yet
    page = member.get("/my/usage")
    prompt, completion = (sum(getattr(r, f"{kind}_tokens") for r in records) for kind in ("prompt", "completion"))
    assert tiles(page)["Requests"] == "3" and tiles(page)["Tokens"].startswith(f"{prompt + completion} ")
    assert "big<model>" in page.text and f"laptop (…{issued['hint']})" in page.text


def test_a_span_is_chosen_by_its_days(world: UsageWorld, member: Browser, ann: Account) -> None:
    world.record(ann.account_id)
    page = member.get("/my/usage?from=2020-01-01&to=2020-01-31")
    assert tiles(page)["Requests"] == "0" and "No usage in this period" in page.text
    assert page.form("/my/usage").fields == {"from": "2020-01-01", "to": "2020-01-31", "split": ""}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=yesterday", "from"),
        ("to=2020-02-31", "to"),
        ("from=2020-02-01&to=2020-01-01", "to"),
        ("from=2018-01-01&to=2020-01-01", "from"),
    ],
)
def test_an_invalid_day_is_shown_at_its_field(member: Browser, query: str, field: str) -> None:
    page = member.get("/my/usage?" + query)
    assert page.status == 422 and f"#field-{field}" in page.links and "`" not in page.text


def test_the_log_pages_back_to_the_first_request(world: UsageWorld, member: Browser, ann: Account) -> None:
    now = now_ms()
    written = [world.record(ann.account_id, at_ms=now - place).request_id for place in range(45)]
    seen: list[str] = []
    page = member.get("/my/usage/log")
    for _ in range(5):
        seen += re.findall(r"<code>(req_\w+)</code>", page.html)
        older = [link for link in page.links if "cursor=" in link]
        if not older:
            break
        page = member.get(older[0])
    assert seen == written


def test_the_log_is_filtered_by_token_and_model(world: UsageWorld, member: Browser, ann: Account) -> None:
    issued = world.issue(world.login(ann))
    world.record(ann.account_id, token_id=issued["id"], model="demo")
    world.record(ann.account_id, token_id=issued["id"], model="other")
    world.record(ann.account_id, token_id="playground", model="demo")
    assert member.get("/my/usage/log").html.count("<code>req_") == 3
    filtered = member.get(f"/my/usage/log?token_id={issued['id']}&model=demo")
    assert filtered.html.count("<code>req_") == 1
    kept = filtered.form("/my/usage/log").fields
    assert (kept["token_id"], kept["model"]) == (issued["id"], "demo")
    assert "playground" in member.get("/my/usage/log?token_id=playground").text


def test_prompts_and_answers_are_shown_as_text(world: UsageWorld, member: Browser, ann: Account) -> None:
    from sluice.domain.gateway.contents import LoggedContent

    now, evil = now_ms(), '<img src=x onerror=alert(1)><a href="javascript:alert(1)">x</a>'
    record = world.record(ann.account_id)
    stores.hot_store().put_content(
        ann.account_id, record.request_id, LoggedContent("Ask " + evil, "Say " + evil), now, now // 1000 + 60
    )
    page = member.get("/my/usage/log")
    assert f"Ask {evil}" in page.text and f"Say {evil}" in page.text
    assert not images(page) and not [link for link in page.links if "javascript" in link]


def test_requests_of_another_account_are_not_shown(
    world: UsageWorld, member: Browser, stranger: Browser, ann: Account
) -> None:
    now = now_ms()
    for place in range(21):
        world.record(ann.account_id, at_ms=now - place, model="anns-model")
    older = next(link for link in member.get("/my/usage/log").links if "cursor=" in link)
    assert stranger.get(older).status == 422
    for path in ("/my/usage", "/my/usage/log"):
        assert "anns-model" in member.get(path).text and "anns-model" not in stranger.get(path).text


def plotted(page: Page) -> dict[tuple[str, str], Amounts]:
    """The table cells from which the plots are drawn."""
    rows = [has for tag, has in page.tags if tag == "tr" and "data-at" in has]
    names = ("requests", "prompt", "completion", "cost", "time")
    return {(row["data-at"], row["data-key"]): Amounts(*(int(row["data-" + name]) for name in names)) for row in rows}


def test_the_plots_data_equal_the_ledger(world: UsageWorld, member: Browser, ann: Account) -> None:
    now = now_ms()
    for day in range(3):
        for place, model in enumerate(("demo", 'big"><img src=x>')):
            for _ in range(1 + day + place):
                world.record(ann.account_id, at_ms=now - day * DAY_MS - place, model=model)
    world.record(at_ms=now)  # another account's
    last_week = member.get("/my/usage").links
    path = next(link for link in last_week if f"from={day_of(now - 6 * DAY_MS)}" in link)
    truth = world.truth(ann.account_id)
    assert plotted(member.get(path)) == by_day(truth, "")
    by_model = member.get(path + "&split=model")
    assert plotted(by_model) == by_day(truth, "model") and len(plotted(by_model)) == 6
    assert not images(by_model)


def test_a_day_or_two_are_shown_by_the_hour(world: UsageWorld, member: Browser, ann: Account) -> None:
    now = now_ms()
    records = [
        world.record(ann.account_id, at_ms=now - hours * HOUR_MS, model=model)
        for hours in range(24)
        for model in ("demo", "other")
    ]
    wanted: dict[tuple[str, str], Amounts] = {}
    for record in records:
        moment = rfc3339(record.created_ms)[:14] + "00Z"
        for key in ((moment, ""), (moment, record.model)):
            wanted[key] = wanted.get(key, Amounts()) + amounts_of(record)
    path = f"/my/usage?from={day_of(now - DAY_MS)}"
    together, apart = plotted(member.get(path)), plotted(member.get(path + "&split=model"))
    assert together == {key: amounts for key, amounts in wanted.items() if not key[1]} and len(together) == 24
    assert apart == {key: amounts for key, amounts in wanted.items() if key[1]}


def test_latencies_are_shown(world: UsageWorld, member: Browser, ann: Account) -> None:
    for took in range(1, 101):
        world.record(ann.account_id, response_time_ms=took * 10, ttft_ms=took)
    world.record(ann.account_id, response_time_ms=600_000, status=499)
    shown = tiles(member.get("/my/usage"))["Latency (last 100)"]
    assert shown.split() == ["p50", "500", "ms", "p95", "950", "ms", "·", "first", "token", "p50", "50", "ms"]


def test_requests_without_a_model_say_what_they_were_and_count_for_no_latency(
    world: UsageWorld, member: Browser, ann: Account
) -> None:
    world.record(ann.account_id, model="none", endpoint="files", completion_tokens=0)
    assert "– File upload" in member.get("/my/usage/log").text
    assert tiles(member.get("/my/usage"))["Latency"] == "–"


def test_the_log_is_filtered_by_day_and_status(world: UsageWorld, member: Browser, ann: Account) -> None:
    now = now_ms()
    for days, status in ((0, 200), (0, 499), (1, 200), (9, 503)):
        world.record(ann.account_id, at_ms=now - days * DAY_MS, status=status)
    day = [day_of(now - days * DAY_MS) for days in range(10)]

    def found(query: str) -> list[str]:
        return re.findall(r'<span class="status \w+">(\d+)</span>', member.get("/my/usage/log?" + query).html)

    assert found(f"from={day[0]}&to={day[0]}") == ["499", "200"] and found(f"to={day[1]}") == ["200", "503"]
    assert found("status=failed") == ["499", "503"] and found("status=answered") == ["200", "200"]
    assert found(f"status=failed&from={day[5]}") == ["499"]
    refused = member.get("/my/usage/log?from=yesterday")
    assert refused.status == 422 and "#field-from" in refused.links


def test_the_csv_log_contains_no_spreadsheet_formula(world: UsageWorld, member: Browser, ann: Account) -> None:
    evil = world.issue(world.login(ann), name='=HYPERLINK("http://evil.example")')
    newest = world.record(ann.account_id, token_id=evil["id"], model="@SUM(1)")
    world.record(ann.account_id, at_ms=now_ms() - 5000, model='with, "quotes"', status=499, ttft_ms=None)
    answer = member.get("/my/usage/log.csv").answer
    assert answer.mimetype == "text/csv" and answer.headers["Content-Disposition"].startswith("attachment;")
    first, second = csv.DictReader(io.StringIO(answer.get_data(as_text=True)))
    assert (first["id"], first["model"]) == (newest.request_id, "'@SUM(1)")
    assert first["token"].startswith("'=HYPERLINK") and first["prompt_tokens"] == str(newest.prompt_tokens)
    assert first["estimated_cost_usd"] == f"{newest.cost_micro_usd / 1e6:.6f}"
    assert (second["model"], second["status"], second["ttft_ms"]) == ('with, "quotes"', "499", "")
    filtered = member.get("/my/usage/log.csv?status=failed").answer.get_data(as_text=True)
    assert filtered.count("\r\n") == 2


def test_the_csv_log_has_no_requests_of_another_account(world: UsageWorld, stranger: Browser, ann: Account) -> None:
    world.record(ann.account_id)
    assert stranger.get("/my/usage/log.csv").html.count("\r\n") == 1


def _refuse(account_id: str, token_id: str, at_ms: int, code: str = "rate_limit_exceeded", times: int = 1) -> None:
    for place in range(times):
        refusal = Refusal(f"req_{at_ms}_{place}", at_ms, token_id, code, 429, "/v1/chat/completions")
        refusals().note(account_id, refusal)
    refusals().flush()


def test_refused_requests_are_on_the_usage_page(world: UsageWorld, member: Browser, ann: Account) -> None:
    assert "No refused requests in this period" in member.get("/my/usage").text
    issued = world.issue(world.login(ann), name="laptop")
    _refuse(ann.account_id, issued["id"], now_ms(), times=3)
    _refuse(world.account().account_id, "tok_foreign", now_ms(), code="invalid_json")
    text = member.get("/my/usage").text
    assert f"laptop (…{issued['hint']})" in text and "rate_limit_exceeded" in text and "Latest refusals" in text
    assert "invalid_json" not in text and "tok_foreign" not in text
    assert "No refused requests" in member.get("/my/usage?from=2020-01-01&to=2020-01-02").text


def test_the_page_names_the_browsers_time_zone_and_counts_its_days(
    world: UsageWorld, member: Browser, ann: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_ms = day_start_ms(date(2026, 10, 25), ZoneInfo("Europe/Berlin")) - 1  # the 24th there and in UTC
    for moment_ms in (at_ms, at_ms + 1, at_ms + 25 * HOUR_MS):
        world.record(ann.account_id, at_ms=moment_ms)
    span = "/my/usage?from=2026-10-25&to=2026-10-25"
    assert "Days are in UTC" in member.get(span).text and tiles(member.get(span))["Requests"] == "1"
    member.client.set_cookie("sluice_zone", "Europe/Berlin")
    page = member.get(span)
    assert "Days are in Europe/Berlin" in page.text and tiles(page)["Requests"] == "2"
    assert "2026-10-25 00:00+02:00" in page.text and "2026-10-25 23:00+01:00" in page.text
    log = member.get("/my/usage/log?from=2026-10-25&to=2026-10-25")
    assert "Days are in Europe/Berlin" in log.text and len([tag for tag, _ in log.tags if tag == "li"]) >= 2
    monkeypatch.setattr(sums, "ZONED_RECORDS", 0)
    assert "too many requests for the days of yours" in member.get(span).text
    member.client.set_cookie("sluice_zone", "Mars/Olympus")
    assert "Days are in UTC" in member.get(span).text


def test_the_log_says_which_attempts_are_one_calls(world: UsageWorld, member: Browser, ann: Account) -> None:
    now = now_ms()
    ids = [world.record(ann.account_id, at_ms=now + n * 1000, call=f"{n}.abcdefgh").request_id for n in range(3)]
    world.record(ann.account_id, at_ms=now + 5000, call="0.abcdefgh")
    text = member.get("/my/usage/log").text
    assert f"3 of 3 of the call that began as {ids[0]}" in text and "1 of 3" in text
    assert text.count(" of 3") == 3


def test_a_request_is_found_by_its_id_whatever_its_day_and_the_filters(
    world: UsageWorld, member: Browser, ann: Account
) -> None:
    old = world.record(ann.account_id, at_ms=now_ms() - 300 * DAY_MS, model="old-model").request_id
    world.record(ann.account_id)
    foreign = world.record(world.account().account_id).request_id
    shown = member.get(f"/my/usage/log?id=%20{old}%20&status=failed&from={day_of(now_ms())}")
    assert re.findall(r"<code>(req_\w+)</code>", shown.html) == [old] and "old-model" in shown.text
    for prefix in ("chatcmpl-", "cmpl-", "resp_", "msg_"):
        assert old in member.get("/my/usage/log?id=" + old.replace("req_", prefix)).text, "an answer's id is known, too"
    for unknown in (foreign, "req_" + "Z" * 26, "req_x", "%00", old.lower()):
        assert "No matching requests" in member.get("/my/usage/log?id=" + unknown).text


def test_a_refused_request_is_found_by_its_id(world: UsageWorld, member: Browser, ann: Account) -> None:
    at_ms = now_ms() - DAY_MS
    made = Refusal(request_id(at_ms), at_ms, "playground", "rate_limit_exceeded", 429, "/v1/chat/completions")
    stores.refusal_store().add(RefusedDay(ann.account_id, day_of(at_ms), {}, (made,)), at_ms // 1000 + 90 * 86_400)
    text = member.get("/my/usage/log?id=" + made.request_id).text
    assert "This request was refused at" in text and "rate_limit_exceeded" in text


def test_the_chosen_period_is_marked(member: Browser) -> None:
    def chosen(query: str) -> list[str]:
        return re.findall(r'aria-current="true">([^<]+)</a></li>', member.get("/my/usage" + query).html)

    week = day_of(now_ms() - 6 * DAY_MS)
    assert (chosen(""), chosen(f"?from={week}")) == (["This month"], ["7 days"])
    assert chosen(f"?from={week}&to={week}") == [] and chosen("?from=x") == []
