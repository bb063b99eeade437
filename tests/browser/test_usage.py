"""Usage in a browser: the plots show the ledger's numbers; without script the tables have the same."""

import re
from collections import defaultdict
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sluice.domain.periods import day_of, day_start_ms
from sluice.domain.spans import DAY_MS
from sluice.domain.usage.refusals import Refusal
from sluice.domain.usage.usage import Amounts, Bucket
from sluice.wiring.usage import refusals
from tests.browser.conftest import NewTab
from tests.browser.stage import Stage
from tests.browser.tab import Tab
from tests.integration.usage.world import HOUR_MS, now_ms

DRAWN = """() => [...document.querySelectorAll(".plots figure")].map((it) => ({
  title: it.querySelector("figcaption").textContent, days: it.uplot.data[0], tops: it.uplot.data.slice(1),
  drawn: Object.fromEntries(it.drawn.map((one) => [one.label, one.values])), painted: it.querySelector("canvas").width,
  top: Math.max(...it.uplot.axes[1]._splits),
}))"""
EVIL = '"><img src=x onerror=alert(1)>'


@pytest.fixture
def busy(stage: Stage, new_tab: NewTab) -> tuple[Tab, dict[Bucket, Amounts]]:
    """A person with three weeks of requests, and the sums of their ledger."""
    person, account_id = stage.person()
    now = now_ms()
    for days_ago in range(0, 21):
        for place, model in enumerate(("demo", "embedder", EVIL)):
            for _ in range((days_ago * 5 + place) % 4):
                when = now - days_ago * DAY_MS - place
                stage.world.record(account_id, at_ms=when, model=model, response_time_ms=300 + 40 * days_ago + place)
    return new_tab(person, at=stage.url), stage.world.truth(account_id)


def amount(tab: Tab, name: str) -> str:
    """The big number of this name, without what is said below it."""
    return tab.page.locator(".tile", has_text=name).first.locator("dd").inner_text().splitlines()[0]


def drawn(tab: Tab, query: str = "") -> dict[str, Any]:
    first = day_of(now_ms() - 20 * DAY_MS)
    tab.go(f"/my/usage?from={first}{query}")
    tab.page.locator(".plots canvas").nth(3).wait_for()
    return {one["title"]: one for one in tab.page.evaluate(DRAWN)}


def sums(truth: dict[Bucket, Amounts], key: str) -> dict[str, list[Amounts]]:
    """Sums by key, and for each of the 21 days."""
    days = [day_of(now_ms() - days_ago * DAY_MS) for days_ago in range(20, -1, -1)]
    found: dict[str, list[Amounts]] = defaultdict(lambda: [Amounts()] * len(days))
    for bucket, amounts in truth.items():
        name = getattr(bucket, key) if key else ""
        place = days.index(bucket.day)
        found[name] = [one + amounts if at == place else one for at, one in enumerate(found[name])]
    return found


def test_the_plots_show_the_ledgers_numbers(busy: tuple[Tab, dict[Bucket, Amounts]]) -> None:
    tab, truth = busy
    plots, days = drawn(tab), sums(truth, "")[""]
    assert list(plots) == ["Requests a day", "Tokens a day", "Cost a day", "Mean time of a request"]
    assert plots["Requests a day"]["drawn"] == {"requests": [one.requests for one in days]}
    assert plots["Tokens a day"]["drawn"] == {
        "prompt": [one.prompt_tokens for one in days],
        "completion": [one.completion_tokens for one in days],
    }
    assert plots["Cost a day"]["drawn"] == {"cost": [one.cost_micro_usd / 1e6 for one in days]}
    means = [one.response_time_ms / one.requests if one.requests else None for one in days]
    assert plots["Mean time of a request"]["drawn"] == {"time": means}
    # uPlot draws stacked bars, the whole stack first.
    assert plots["Tokens a day"]["tops"] == [
        [one.prompt_tokens + one.completion_tokens for one in days],
        [one.prompt_tokens for one in days],
    ]
    assert all(len(one["days"]) == 21 and one["painted"] > 100 for one in plots.values())


def test_the_plots_distinguish_models_and_a_hostile_name_stays_text(busy: tuple[Tab, dict[Bucket, Amounts]]) -> None:
    tab, truth = busy
    tab.page.on("dialog", lambda dialog: tab.complaints.append(f"a dialog: {dialog.message}"))
    plots = drawn(tab, "&split=model")
    wanted = {model: [one.requests for one in days] for model, days in sums(truth, "model").items()}
    assert plots["Requests a day"]["drawn"] == wanted and EVIL in wanted
    assert tab.page.locator("main img").count() == 0
    assert EVIL in tab.page.locator(".u-legend").first.inner_text()


def hours_of_today() -> int:
    return 1 + (now_ms() % DAY_MS) // HOUR_MS


def test_today_is_plotted_by_hour(busy: tuple[Tab, dict[Bucket, Amounts]]) -> None:
    (tab, truth), hours = busy, hours_of_today()
    tab.go("/my/usage")
    tab.press("Today")
    tab.page.locator(".plots canvas").nth(3).wait_for()
    plots = {one["title"]: one for one in tab.page.evaluate(DRAWN)}
    for plot in plots.values():
        most = max(value for values in plot["tops"] for value in values if value is not None)
        assert plot["top"] >= most, "a tick above what is drawn"
    by_hour = plots["Requests an hour"]["drawn"]["requests"]
    today = day_of(now_ms())
    assert sum(by_hour) == sum(one.requests for bucket, one in truth.items() if bucket.day == today)
    assert hours <= len(by_hour) <= hours_of_today(), "an hour may have begun meanwhile"
    tab.check("usage-today")


def test_the_limits_are_reloaded_when_the_window_gets_the_focus(busy: tuple[Tab, dict[Bucket, Amounts]]) -> None:
    tab, _ = busy
    tab.go("/my/usage")
    tab.page.wait_for_function("() => window.htmx")
    with tab.page.expect_response(lambda answer: answer.request.headers.get("hx-request") == "true"):
        tab.page.evaluate("() => window.dispatchEvent(new Event('focus'))")
    tab.page.wait_for_timeout(200)
    assert tab.page.locator("#limits meter").count() == 4 and tab.page.locator("h1").count() == 1


def test_after_the_session_ended_a_fragment_leads_to_the_login(
    busy: tuple[Tab, dict[Bucket, Amounts]],
) -> None:
    tab, _ = busy
    tab.go("/my/usage")
    tab.page.wait_for_function("() => window.htmx")
    tab.page.context.clear_cookies()
    with tab.page.expect_navigation():
        tab.page.evaluate("() => window.dispatchEvent(new Event('focus'))")
    assert tab.path == "/login?next=usage"


def test_without_script_the_table_has_every_number(stage: Stage, new_tab: NewTab) -> None:
    person, account_id = stage.person()
    record = stage.world.record(account_id)
    tab = new_tab(person, script=False, at=stage.url)
    tab.go("/my/usage")
    row = tab.page.locator("#by-day tbody td").all_inner_texts()
    assert row[:3] == ["1", str(record.prompt_tokens), str(record.completion_tokens)]
    assert tab.page.locator(".plots").is_hidden()


def test_the_log_is_filtered_and_downloaded(busy: tuple[Tab, dict[Bucket, Amounts]]) -> None:
    tab, truth = busy
    tab.go("/my/usage/log")
    tab.fill(model="embedder")
    tab.press("Search")
    with tab.page.expect_download() as download:
        tab.page.click("text=Download CSV")
    lines = download.value.path().read_text().splitlines()
    assert len(lines) - 1 == sum(one.requests for bucket, one in truth.items() if bucket.model == "embedder")


def test_a_request_opens_and_is_found_by_its_id_without_script(stage: Stage, new_tab: NewTab) -> None:
    person, account_id = stage.person()
    stage.world.record(account_id, model="newest")
    old = stage.world.record(account_id, at_ms=now_ms() - 40 * DAY_MS, model="old-model", status=503)
    tab = new_tab(person, script=False, at=stage.url)
    tab.go("/my/usage/log")
    lines = tab.page.locator(".log summary")
    assert lines.count() == 2 and not tab.page.get_by_text(old.request_id).is_visible()
    lines.nth(1).press("Enter")
    assert tab.page.get_by_text(old.request_id).is_visible()
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$", lines.nth(1).locator("time").inner_text())
    tab.press("Failed")
    assert lines.count() == 1 and "old-model" in lines.inner_text()
    tab.press("Answered")
    tab.fill(id=old.request_id).press("Search")
    assert lines.count() == 1 and tab.page.get_by_text(old.request_id).is_visible(), "it is open at once"
    tab.fill(id="req_unknown").press("Search")
    assert "No matching requests" in tab.text


def test_the_big_numbers_fit_at_400_percent_and_a_preset_is_marked(busy: tuple[Tab, dict[Bucket, Amounts]]) -> None:
    tab, truth = busy
    tab.resize({"width": 320, "height": 256})
    tab.go("/my/usage")
    tab.press("30 days")
    assert tab.page.locator(".chips [aria-current]").inner_text() == "30 days"
    whole = sum(truth.values(), Amounts())
    assert amount(tab, "Requests") == f"{whole.requests}" and amount(tab, "Latency").startswith("p50 ")
    for path in ("/my/usage", "/my/usage/log"):
        tab.go(path)
        assert tab.page.evaluate("() => document.documentElement.scrollWidth") <= 320, path


def test_usage_is_accessible_in_both_widths_and_colour_schemes(busy: tuple[Tab, dict[Bucket, Amounts]]) -> None:
    tab, _ = busy
    drawn(tab)
    tab.check("usage")
    drawn(tab, "&split=model")
    tab.check("usage-by-model")
    tab.go("/my/usage/log")
    tab.page.locator(".log summary").nth(1).click()
    tab.check("log")


def test_the_days_are_those_of_the_browsers_time_zone(stage: Stage, new_tab: NewTab) -> None:
    zone, day = "America/Los_Angeles", "2026-11-01"  # of 25 hours
    person, account_id = stage.person()
    start = day_start_ms(date.fromisoformat(day), ZoneInfo(zone))
    for moment in (start - 1, start, start + 25 * HOUR_MS - 1, start + 25 * HOUR_MS):
        stage.world.record(account_id, at_ms=moment)
    for place in range(3):
        refusal = Refusal(f"req_{place}", now_ms(), "playground", "rate_limit_exceeded", 429, "/v1/completions")
        refusals().note(account_id, refusal)
    refusals().flush()
    tab = new_tab(person, at=stage.url, zone=zone)
    tab.go("/my/usage")
    tab.page.get_by_text(f"Days are in {zone}").wait_for()  # after one reload
    tab.go(f"/my/usage?from={day}&to={day}")
    assert amount(tab, "Requests") == "2"
    tab.page.locator(".plots canvas").nth(3).wait_for()
    requests = tab.page.evaluate(DRAWN)[0]
    assert len(requests["days"]) == 25 and sum(requests["drawn"]["requests"]) == 2
    tab.check("usage-zone")
    tab.go("/my/usage")
    assert "rate_limit_exceeded" in tab.text
    assert tab.page.get_by_text("429 rate_limit_exceeded").first.is_visible()
    tab.check("usage-refusals")
    tab.go("/my/usage/log")
    assert f"Days are in {zone}" in tab.text
    assert tab.cookies()["sluice_zone"]["value"] == zone


def test_usage_without_requests_is_accessible(stage: Stage, new_tab: NewTab) -> None:
    person, _ = stage.person()
    tab = new_tab(person, at=stage.url)
    for path, name in (("/my/usage", "usage-empty"), ("/my/usage/log", "log-empty")):
        tab.go(path)
        tab.check(name)
