"""The inference image's own entry point behind the Web Adapter on Lambda's Runtime API, with the demo model."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws.runtime.image import container, final_stage
from tests.aws.runtime.runtime_api import RuntimeApi
from tests.aws.runtime.tools import ADAPTER_VERSION
from tests.events import event


@pytest.fixture(scope="module")
def image(adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RuntimeApi]:
    with container(adapter, tmp_path_factory.mktemp("image")) as api:
        yield api


def test_the_image_answers_a_call_of_its_function_url(image: RuntimeApi) -> None:
    answer = image.invoke(event("InferenceFunction"))
    told = answer.json()
    assert answer.head()[0] == 200, told
    assert "Paris" in told["choices"][0]["message"]["content"]
    assert image.extensions == ["lambda-adapter"]


def test_the_image_streams(image: RuntimeApi) -> None:
    asked = event("InferenceFunction")
    asked["body"] = json.dumps({**json.loads(asked["body"]), "stream": True})
    answer = image.invoke(asked)
    status, headers = answer.head()
    assert (status, headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
    assert answer.rest().endswith(b"data: [DONE]\n\n")
    assert set(image.modes) == {"streaming"}


def test_a_web_page_is_refused_and_the_next_call_is_served(image: RuntimeApi) -> None:
    asked = event("InferenceFunction")
    asked["headers"]["origin"] = "https://evil.example"
    assert image.invoke(asked).head()[0] == 403
    assert image.invoke(event("InferenceFunction")).head()[0] == 200


def test_the_image_has_the_adapter_that_is_tested() -> None:
    (line,) = [copy for copy in final_stage()["COPY"] if copy.startswith("--from=public.ecr.aws")]
    assert f"aws-lambda-adapter:{ADAPTER_VERSION} " in line and line.endswith(" /opt/extensions/lambda-adapter")
