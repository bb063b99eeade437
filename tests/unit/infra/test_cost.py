"""docs/cost.md equals the output of the script; some figures are checked by hand."""

import copy
import json
import re

import pytest

from infra.aws.cost import bounds, inputs, model
from infra.aws.cost.__main__ import PAGE
from infra.aws.cost.bounds import Bounds
from infra.aws.cost.page import SIZES_MB, money, page, told
from infra.aws.cost.worst import worst_month


def test_the_document_is_what_the_script_prints() -> None:
    assert PAGE.read_text() == page(), "run: python -m infra.aws.cost --write"


def test_an_idle_deployment_costs_less_than_two_dollars_a_month() -> None:
    assert model.idle()[-1].usd_free <= 2.0


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
    start_seconds = inputs.assumed("cold_share") * inputs.assumed("model_init_seconds")
    requests_alone = model.model_usd(megabytes) - model.lambda_usd(start_seconds, megabytes)
    assert requests_alone * 1e6 == pytest.approx(by_tokens)


@pytest.mark.parametrize("server", model.SERVERS)
def test_at_the_break_even_point_both_cost_the_same(server: model.Server) -> None:
    at = model.crossing(server, SIZES_MB[0])
    on_lambda = model.idle()[-1].usd_free + at * model.request_usd(SIZES_MB[0])
    assert on_lambda == pytest.approx(server.month_usd)
    assert at < server.answers_a_month, "the server cannot answer as many as would make it the cheaper one"


def test_the_gateways_memory_equals_the_templates() -> None:
    assert inputs.memory_mb("GatewayFunction") == 512
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


def test_the_worst_month_by_hand() -> None:
    """From the texts of the templates, by another way than the model's."""
    month = {line.what: line.usd for line in worst_month({})}
    template, data = inputs.TEMPLATE.read_text(), inputs.OTHERS[0].read_text()
    default = {
        name: float(value) for name, value in re.findall(r"^ +(\w+): \{Type: Number, Default: ([\d.]+)", template, re.M)
    }
    named = {key: len(re.findall(rf"<<: [*&]{key}\b", template)) for key in ("Anyone", "Asks", "Large")}
    methods = template.count("Type: Api, Properties")
    rate = named["Anyone"] * default["AnonymousRate"] + named["Asks"] * default["GatewayRate"] + named["Large"] * 0.05
    rate += (methods - sum(named.values())) * default["ApiRate"]
    rate += template.count("ThrottlingRateLimit: 0.15") * (0.15 - default["ApiRate"])  # parts of uploads
    assert month["calls of the API"] == pytest.approx(rate * 730 * 3600 * 3.5 / 1e6)
    parts = data.count("OnDemandThroughput")
    (writes,) = re.findall(r"TableWrites: \{Type: Number, Default: (\d+)", data)
    assert month["writes to the store"] == pytest.approx(parts * int(writes) * 730 * 3600 * 0.625 / 1e6)
    half_gb = default["GatewayConcurrency"] * 0.5 * 730 * 3600
    assert month["the gateway"] == pytest.approx(half_gb * inputs.price("lambda_arm_gb_second"))
    assert month["**together**"] == pytest.approx(sum(month.values()) / 2)


BOUNDS = [
    "ApiRate",
    "AnonymousRate",
    "GatewayRate",
    "GatewayConcurrency",
    "FunctionConcurrency",
    "InferenceConcurrency",
]


@pytest.mark.parametrize("name", [*BOUNDS, "InferenceMemory", "TableReads", "TableWrites"])
def test_a_larger_bound_makes_a_dearer_month(name: str) -> None:
    more = f"{2 * float(Bounds({}).known[name]):g}"
    assert worst_month({name: more})[-1].usd > worst_month({})[-1].usd + 100


def test_a_bound_that_the_template_loses_changes_the_figure_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/cost.md is held to the figure, so a change of the template that changes the bill is seen."""
    before = worst_month({})[-1].usd
    template, every = copy.deepcopy(inputs.template()), copy.deepcopy(inputs.resources())
    monkeypatch.setattr(bounds, "template", lambda: template)
    monkeypatch.setattr(bounds, "resources", lambda: every)
    template["Resources"]["Api"]["Properties"]["MethodSettings"][0]["ThrottlingRateLimit"] = 500
    dearer = worst_month({})[-1].usd
    assert dearer > 100 * before
    every["WebFunction"]["Properties"]["ReservedConcurrentExecutions"] = 1000
    assert worst_month({})[-1].usd > dearer + 8000
    del every["LedgerTable"]["Properties"]["OnDemandThroughput"]
    with pytest.raises(KeyError):
        worst_month({})


def test_where_nothing_is_reserved_the_accounts_limit_counts() -> None:
    def functions(at_once: int) -> float:
        return next(
            line.usd for line in worst_month({"InferenceConcurrency": "0"}, at_once) if line.what == "functions"
        )

    assert functions(1000) == pytest.approx(100 * functions(10))


def test_other_parameters_change_what_they_should() -> None:
    lines = {line.what for line in worst_month({"InferenceUrl": "https://model.example.org", "Mail": "smtp"})}
    assert not lines & {"the model", "mails"}
    assert worst_month({"Architecture": "x86_64"})[-1].usd > worst_month({})[-1].usd


@pytest.mark.parametrize(
    "given", ["ApiRat=1", "ApiRate=fast", "ApiRate=-1", "ApiRate=nan", "ApiRate=inf", "TableReads="]
)
def test_a_mistaken_parameter_is_named_and_nothing_is_computed(given: str) -> None:
    name, value = given.split("=")
    with pytest.raises(ValueError, match=name):
        told({name: value})


def test_the_default_month_is_what_the_pages_say() -> None:
    said = f"{round(worst_month({})[-1].usd, -2):,.0f} dollars"
    for name in ("README.md", "docs/deploy.md"):
        assert said in (inputs.TEMPLATE.parent / name).read_text(), f"{name}: {said}"


def test_every_schedule_is_counted_while_idle() -> None:
    scheduled = [name for name, one in inputs.resources().items() if "'Schedule': 'rate" in str(one)]
    assert sorted(scheduled) == ["IngestionFunction", "SweeperFunction"]
    assert [model.runs_a_month(name) for name in sorted(scheduled)] == [8_760, 43_800]


def test_the_polling_of_a_queue_and_the_starts_of_environments_are_counted_while_idle() -> None:
    """Lambda asks an idle queue with five long polls of 20 s at once, and bills INIT."""
    lines = {line.what: line for line in model.idle()}
    assert lines["Lambda asking four queues"].usd == pytest.approx(4 * 5 * 730 * 180 * 0.4e-6)
    runs = 43_800 * model.lambda_usd(inputs.assumed("sweep_seconds"), 512)
    starts = 730 / inputs.assumed("environment_hours") * model.lambda_usd(inputs.assumed("init_seconds"), 512)
    assert lines["sweeper, once a minute"].usd == pytest.approx(runs + starts)


def test_no_metric_is_counted_that_the_template_switches_off() -> None:
    settings = inputs.template()["Resources"]["Api"]["Properties"]["MethodSettings"]
    assert not any(one["MetricsEnabled"] for one in settings) and "detailed" not in PAGE.read_text()


def test_the_file_of_counts_has_every_operation() -> None:
    assert set(json.loads(inputs.COUNTS.read_text())) == {
        "request",
        "background_response",
        "request_with_key",
        "request_with_key_again",
        "request_without_content",
        "request_of_a_day_without_content",
        "metering_of_one",
        "metering_of_25",
        "sweep_of_nothing",
    }


@pytest.mark.parametrize(("usd", "shown"), [(0, "$0.00"), (0.0046, "$0.0046"), (0.2, "$0.20"), (1234.5, "$1,234.50")])
def test_money_is_shown_with_cents(usd: float, shown: str) -> None:
    assert money(usd) == shown
