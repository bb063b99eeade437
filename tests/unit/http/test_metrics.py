"""Responses are counted by route, refusals by code; `/metrics` answers this machine only."""

from typing import Any

import pytest
from flask import Blueprint, Flask

from infra.local import figures as of_this_moment
from infra.local import metrics as page
from sluice.adapters.usage.metrics_prometheus import PrometheusMetrics
from sluice.domain.errors import NotFound, RateLimitExceeded
from sluice.http.app import create_app
from sluice.http.logging import JsonFormatter
from sluice.http.metrics import install
from sluice.wiring import peers


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Flask:
    figures = PrometheusMetrics()
    monkeypatch.setattr(peers, "metrics", lambda: figures)
    monkeypatch.setattr(of_this_moment, "exposition", lambda: b"")
    blueprint = Blueprint("some", __name__)

    @blueprint.get("/things/<name>")
    def thing(name: str) -> str:
        if name == "none":
            raise NotFound()
        return name

    @blueprint.post("/v1/limited")
    def limited() -> str:
        raise RateLimitExceeded(1)

    app = create_app([blueprint, page.blueprint])
    install(app, figures)
    return app


def scrape(app: Flask, **more: Any) -> str:
    answer = app.test_client().get("/metrics", **more)
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    return answer.text


def test_answers_are_counted_by_route_not_by_path(app: Flask) -> None:
    client = app.test_client()
    for path in ("/things/a", "/things/b", "/things/none", "/nowhere/1", "/nowhere/2"):
        client.get(path)
    client.open("/nowhere", method="BREW")
    text = scrape(app)
    assert 'sluice_http_requests_total{method="GET",route="/things/<name>",status="200"} 2.0' in text
    assert 'sluice_http_requests_total{method="GET",route="/things/<name>",status="404"} 1.0' in text
    assert 'route="(none)",status="404"} 3.0' in text
    assert "nowhere" not in text
    assert "BREW" not in text


def test_refusals_on_v1_are_counted_by_code(app: Flask) -> None:
    app.test_client().post("/v1/limited")
    app.test_client().get("/things/none")
    text = scrape(app)
    assert 'sluice_refusals_total{reason="rate_limit_exceeded"} 1.0' in text
    assert 'reason="not_found"' not in text


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_metrics_are_shown_to_this_machine(app: Flask, address: str) -> None:
    assert "sluice_" in scrape(app, environ_base={"REMOTE_ADDR": address})


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.1.2", "8.8.8.8", "::ffff:8.8.8.8", "fe80::1", "", "unix"])
def test_metrics_are_a_404_for_other_machines(app: Flask, address: str) -> None:
    answer = app.test_client().get("/metrics", environ_base={"REMOTE_ADDR": address})
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_a_proxy_on_this_machine_does_not_show_metrics_to_others(app: Flask) -> None:
    answer = app.test_client().get("/metrics", headers={"X-Forwarded-For": "8.8.8.8"})
    assert answer.status_code == 404
    spoofed = app.test_client().get(
        "/metrics", environ_base={"REMOTE_ADDR": "8.8.8.8"}, headers={"X-Forwarded-For": "127.0.0.1"}
    )
    assert spoofed.status_code == 404


def test_a_response_is_logged_by_its_route_without_ids_or_query(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "sluice.access")
    app.test_client().get("/things/mail_0123456789abcdef.secret?token=mail_0123456789abcdef.secret")
    scrape(app)  # not logged
    (record,) = caplog.records
    assert (record.route, record.method, record.status) == ("/things/<name>", "GET", 200)  # type: ignore[attr-defined]
    assert "secret" not in JsonFormatter().format(record)
