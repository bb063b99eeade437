"""docs/cost.md equals the output of the script; some figures are checked by hand."""

import json

import pytest

from infra.aws.cost import inputs, model
from infra.aws.cost.__main__ import PAGE
from infra.aws.cost.page import SIZES_MB, money, page


def test_the_document_is_what_the_script_prints() -> None:
    assert PAGE.read_text() == page(), "run: python -m infra.aws.cost --write"


def test_an_idle_deployment_costs_at_most_a_dollar_a_month() -> None:
    assert model.idle()[-1].usd_free <= 1.0


def test_the_idle_cost_is_the_sum_of_its_lines() -> None:
    *lines, together = model.idle()
    assert together.usd == pytest.approx(sum(line.usd for line in lines))
    assert all(0 <= line.usd_free <= line.usd for line in lines)


def test_alarms_are_counted_by_their_metrics() -> None:
    source = "".join(path.read_text() for path in (inputs.TEMPLATE, *inputs.OTHERS))
    assert inputs.count_of("AWS::CloudWatch::Alarm") == source.count("Type: AWS::CloudWatch::Alarm")
    assert inputs.alarm_metrics() >= inputs.count_of("AWS::CloudWatch::Alarm") > 0


def test_a_gigabyte_second_has_the_price_of_the_price_list() -> None:
    second = inputs.price("lambda_arm_gb_second")
    assert model.lambda_usd(1.0, 1024) == pytest.approx(second + 0.2 / 1e6)
    assert model.lambda_usd(10.0, 512) - model.lambda_usd(0.0, 512) == pytest.approx(5 * second)


def test_write_units_of_a_million_requests_by_hand() -> None:
    hot = inputs.counts()["request"]["write_units"]
    [one, many] = [inputs.counts()[name]["write_units"] for name in ("metering_of_one", "metering_of_25")]
    assert model.metering_units(1)[0] == pytest.approx(one)
    assert model.metering_units(25)[0] == pytest.approx(many / 25)
    assert many / 25 < model.metering_units(5)[0] < one
    store = model.per_request(1.0)["store: admission, ledger, content, metering"] * 1e6
    assert store >= (hot + many / 25) * inputs.price("dynamodb_million_write_units")


def test_content_that_is_not_stored_costs_nothing() -> None:
    name = "store: admission, ledger, content, metering"
    saved = model.per_request(1.0)[name] - model.per_request(1.0, content=False)[name]
    units = inputs.counts()["request"]["written"]["contents"]
    assert saved * 1e6 == pytest.approx(units * inputs.price("dynamodb_million_write_units"))


@pytest.mark.parametrize("megabytes", SIZES_MB)
def test_tokens_and_requests_agree(megabytes: int) -> None:
    """The price of a million requests by tokens equals the price by seconds."""
    prompt, answer = model.million_tokens_usd(megabytes)
    by_tokens = inputs.assumed("prompt_tokens") * prompt + inputs.assumed("completion_tokens") * answer
    requests_alone = model.model_usd(megabytes) - inputs.price("lambda_million_requests") / 1e6
    assert requests_alone * 1e6 == pytest.approx(by_tokens)


@pytest.mark.parametrize("server", model.SERVERS)
def test_at_the_break_even_point_both_cost_the_same(server: model.Server) -> None:
    at = model.crossing(server, SIZES_MB[0])
    on_lambda = model.idle()[-1].usd_free + at * model.request_usd(SIZES_MB[0])
    assert on_lambda == pytest.approx(server.month_usd)
    assert at < server.answers_a_month, "the server cannot answer as many as would make it the cheaper one"


def test_the_gateways_memory_equals_the_templates() -> None:
    assert f"MemorySize: {inputs.memory_mb('GatewayFunction')}" in inputs.TEMPLATE.read_text()
    assert inputs.memory_mb("InferenceFunction") == SIZES_MB[0]


def test_every_price_has_its_source_and_every_assumption_its_reason() -> None:
    dated = inputs.price_list()
    assert dated["as_of"] and dated["region"] == "us-east-1"
    assert all(one["source"].startswith("https://aws.amazon.com/") for one in dated["prices"].values())
    assert all(one["why"] for one in inputs.assumptions().values())
    used = "".join(file.read_text() for file in inputs.FOLDER.glob("*.py")).replace("'", '"')
    for name in (*dated["prices"], *inputs.assumptions()):
        assert f'"{name}"' in used or name in SCALING, name


SCALING = ("server_gpu_hour",)  # read by infra/aws/scaling.py


def test_the_file_of_counts_has_every_operation() -> None:
    assert set(json.loads(inputs.COUNTS.read_text())) == {
        "request",
        "request_without_content",
        "metering_of_one",
        "metering_of_25",
        "sweep_of_nothing",
    }


@pytest.mark.parametrize(("usd", "shown"), [(0, "$0.00"), (0.0046, "$0.0046"), (0.2, "$0.20"), (1234.5, "$1,234.50")])
def test_money_is_shown_with_cents(usd: float, shown: str) -> None:
    assert money(usd) == shown
