"""Models that are no language models as upstreams: an ONNX vision model behind plain HTTP, and MLServer."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e import people
from tests.e2e.people import Person
from tests.e2e.system import System
from tests.fakes.http_server import CHUNKED, SILENCE, ScriptedServer, chunk, scripted_server
from tests.peers.conftest import NewHome
from tests.peers.install import other_models
from tests.peers.servers import HERE, START_SECONDS, Peer, process, wait_ready
from tests.ports import free_port
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("model_servers")
KEY = "vision-secret-3"
SETTINGS = """
[[upstreams]]
name = "mlserver"
kind = "http"
protocol = "v2"
url = "{mlserver}"

[[upstreams]]
name = "away"
kind = "http"
url = "http://127.0.0.1:1/predict"

[[upstreams]]
name = "vision"
kind = "http"
url = "{vision}/predict"
key = "env:VISION_KEY"

[[upstreams]]
name = "scripted"
kind = "http"
url = "{scripted}/predict"

[[models]]
id = "scripted"
upstreams = ["scripted:x"]
request_usd = "0.01"
max_seconds = 20

[[models]]
id = "sum"
upstreams = ["mlserver:their-sum"]
request_usd = "0.01"

[[models]]
id = "which-way-up"
upstreams = ["away:x", "vision:x"]
request_usd = "0.001"
second_usd = "0.0005"
max_seconds = 30
"""
PICTURE = """
import cv2, numpy, sys
page = numpy.full((64, 320, 3), 255, numpy.uint8)
cv2.putText(page, "Invoice 2026", (8, 44), cv2.FONT_HERSHEY_SIMPLEX, 1.3, (0, 0, 0), 3)
cv2.imwrite(sys.argv[1] + "/0.png", page)
cv2.imwrite(sys.argv[1] + "/180.png", cv2.rotate(page, cv2.ROTATE_180))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("others")
    subprocess.run([other_models(), "-c", PICTURE, made], check=True, timeout=200)
    return made


@pytest.fixture(scope="module")
def mlserver(folder: Path) -> Iterator[Peer]:
    ports = {"http_port": free_port(), "grpc_port": free_port(), "metrics_port": free_port()}
    stated = {"host": "127.0.0.1", "parallel_workers": 0, **ports}
    (folder / "settings.json").write_text(json.dumps(stated))
    (folder / "model-settings.json").write_text('{"name": "their-sum", "implementation": "sum_model.SumModel"}')
    shutil.copy(HERE / "sum_model.py", folder)
    peer = Peer("mlserver", f"http://127.0.0.1:{ports['http_port']}", "")
    with process([other_models().with_name("mlserver"), "start", folder], folder / "mlserver.log"):
        wait_ready(peer, "/v2/models/their-sum/ready")
        yield peer


@pytest.fixture(scope="module")
def vision(folder: Path) -> Iterator[Peer]:
    port = free_port()
    peer = Peer("vision", f"http://127.0.0.1:{port}", KEY)
    words = [other_models(), HERE / "vision_server.py", str(port)]
    with process(words, folder / "vision.log", {"SERVER_KEY": KEY}):

        def answers() -> bool:
            try:
                return peer.call("POST", "/", data=(folder / "0.png").read_bytes()).status_code == 200
            except OSError:
                return False

        eventually(answers, START_SECONDS)
        yield peer


@pytest.fixture(scope="module")
def scripted() -> Iterator[ScriptedServer]:
    with scripted_server() as made:
        yield made


@pytest.fixture(scope="module")
def home(new_home: NewHome, mlserver: Peer, vision: Peer, scripted: ScriptedServer) -> System:
    urls = {"mlserver": mlserver.url, "vision": vision.url, "scripted": scripted.url}
    return new_home(SETTINGS.format(**urls), {"VISION_KEY": KEY})


@pytest.fixture(scope="module")
def person(home: System) -> Person:
    return people.newcomer(home.base_url)


def run(person: Person, body: bytes, kind: str = "image/png", model: str = "which-way-up", **fields: Any) -> Any:
    return person.v1("POST", f"/v1/run/{model}", data=body, headers={"Content-Type": kind}, **fields)


def infer(person: Person, *inputs: list[float]) -> Any:
    named = [{"name": f"x{n}", "shape": [len(data)], "datatype": "FP64", "data": data} for n, data in enumerate(inputs)]
    return person.v1("POST", "/v2/models/sum/infer", json={"inputs": named})


@pytest.mark.parametrize("label", ["0", "180"])
def test_a_picture_is_judged_by_the_second_server_as_the_first_is_away(
    person: Person, folder: Path, label: str
) -> None:
    found = run(person, (folder / f"{label}.png").read_bytes())
    assert found.status_code == 200, found.text
    assert found.json()["label"] == label and found.json()["score"] > 0.9
    assert found.headers["x-sluice-upstream"] == "vision" and float(found.headers["x-sluice-price-usd"]) >= 0.001
    assert found.headers["content-disposition"] == "attachment"


def test_what_is_no_picture_is_a_400_that_says_so(person: Person) -> None:
    found = run(person, b"GIF89a")
    assert found.status_code == 400 and found.json()["error"]["message"] == "body: this is no picture"


def test_an_inference_is_that_of_the_server_under_our_name(person: Person, mlserver: Peer) -> None:
    found = infer(person, [1.5, 2], [3, 4])
    assert found.status_code == 200, found.text
    assert found.json()["model_name"] == "sum" and found.json()["outputs"][0]["data"] == [10.5]
    theirs = mlserver.call("GET", "/v2/models/their-sum").json()
    assert person.v1("GET", "/v2/models/sum").json() == {**theirs, "name": "sum"}
    assert person.v1("GET", "/v2/models/sum/ready").status_code == 200
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [7]}]}
    same = run(person, json.dumps(body).encode(), "application/json", "sum")
    assert same.json()["model_name"] == "sum" and same.json()["outputs"][0]["data"] == [7]


def test_an_input_that_mlserver_refuses_is_a_400_with_its_message(person: Person) -> None:
    found = infer(person, [1], [2, 3])
    assert found.status_code == 400 and "differ in size" in found.json()["error"]
    found = person.v1("POST", "/v2/models/sum/infer", json={"inputs": "x"})
    assert found.status_code == 400 and "inputs" in found.json()["error"], found.text


def test_many_at_once_leave_one_record_each(person: Person, home: System, folder: Path) -> None:
    picture = (folder / "0.png").read_bytes()
    before = len(person.call("GET", "/usage/logs?limit=100").json()["data"])
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: run(person, picture), range(40)))
    assert {found.status_code for found in answers} == {200}
    ids = {found.headers["x-sluice-request-id"] for found in answers}

    def recorded() -> bool:
        rows = person.call("GET", "/usage/logs?limit=100").json()["data"]
        return len(rows) == before + 40 and ids <= {row["id"] for row in rows}

    eventually(recorded)
    assert KEY not in home.output()


def last(person: Person, request_id: str) -> Any:
    """The ledger record of a request, once it is settled."""

    def found() -> Any:
        rows = person.call("GET", "/usage/logs?limit=100").json()["data"]
        return next((row for row in rows if row["id"] == request_id), None)

    return eventually(found)


@pytest.mark.parametrize("head", [CHUNKED, b"HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n"])
def test_half_an_answer_is_a_broken_connection(person: Person, scripted: ScriptedServer, head: bytes) -> None:
    piece = b"x" * 100_000
    scripted.script(head, chunk(piece) if head == CHUNKED else piece)
    with run(person, b"", model="scripted", stream=True) as found:
        assert found.status_code == 200
        with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
            found.content  # noqa: B018 (reads it)
    record = last(person, found.headers["x-sluice-request-id"])
    assert record["status"] == 503 and record["estimated_cost_usd"] == 0


def test_a_caller_who_leaves_is_seen_while_the_server_is_silent(person: Person, scripted: ScriptedServer) -> None:
    scripted.script(CHUNKED, chunk(b"one"), SILENCE)
    with run(person, b"", model="scripted", stream=True) as found:
        assert next(found.iter_content(3)) == b"one"
    assert last(person, found.headers["x-sluice-request-id"])["status"] == 499
