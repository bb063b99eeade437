"""Concurrent requests: each answer is the same as without the others."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.inference.server import Server
from tests.waiting import eventually

CHAT = "/v1/chat/completions"
SYSTEM = {"role": "system", "content": "You are a helpful assistant. Answer the question."}
CAPITALS = ["France", "Japan", "Italy", "Spain", "Germany", "Egypt"]
QUESTIONS = [f"What is the capital of {country}?" for country in CAPITALS]
QUESTIONS += [f"What is {a} + {b}?" for a in range(2, 8) for b in (3, 9)]
QUESTIONS += [f"Count from {n} to {n + 8}." for n in range(2, 8)]
QUESTIONS += ["Explain what an API is.", "Give the capital of France as JSON."]
LONG_PROMPT = "Count to 5. " * 60


def body(question: str, **fields: Any) -> dict[str, Any]:
    return {"model": "demo", "max_tokens": 80, "messages": [SYSTEM, {"role": "user", "content": question}]} | fields


def answer(server: Server, question: str, account: str = "") -> str:
    response = server.post(CHAT, body(question), headers={"x-sluice-account": account})
    assert response.status_code == 200, response.text
    text: str = response.json()["choices"][0]["message"]["content"]
    return text


@pytest.fixture(scope="module")
def alone(server: Server) -> dict[str, str]:
    return {question: answer(server, question) for question in [*QUESTIONS, LONG_PROMPT]}


@pytest.mark.parametrize("callers", [1, 4, 8, 16, 64])
def test_concurrent_answers_equal_single_answers(server: Server, alone: dict[str, str], callers: int) -> None:
    questions = [QUESTIONS[n % len(QUESTIONS)] for n in range(max(8, callers))]
    with ThreadPoolExecutor(callers) as pool:
        accounts = [f"account-{n % 4}" for n in range(len(questions))]
        got = list(pool.map(lambda q, a: answer(server, q, a), questions, accounts))
    assert got == [alone[question] for question in questions]
    server.wait_idle()


def test_cancellations_and_long_prompts_do_not_change_other_answers(server: Server, alone: dict[str, str]) -> None:
    stop = threading.Event()

    def vanish() -> None:
        while not stop.is_set():
            hang_up(server, "Explain what a rate limit is.", after_s=0.01)

    def long_prompts() -> None:
        while not stop.is_set():
            assert answer(server, LONG_PROMPT, "long") == alone[LONG_PROMPT]

    with ThreadPoolExecutor(12) as pool:
        noise = [pool.submit(vanish), pool.submit(vanish), pool.submit(long_prompts)]
        got = list(pool.map(lambda q: answer(server, q, "many"), QUESTIONS * 2))
        stop.set()
        for future in noise:
            future.result()
    assert got == [alone[question] for question in QUESTIONS * 2]
    server.wait_idle()


def raw_request(server: Server, fields: dict[str, Any]) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    payload = json.dumps(fields).encode()
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    connection.sendall(head.encode() + payload)
    return connection


def hang_up(server: Server, question: str, after_s: float, **fields: Any) -> None:
    connection = raw_request(server, body(question, **fields))
    time.sleep(after_s)
    connection.close()


@pytest.mark.parametrize("stream", [True, False])
def test_a_disconnected_caller_frees_its_slot(server: Server, stream: bool) -> None:
    endless = {"max_tokens": 400, "temperature": 2.0, "logit_bias": end_forbidden()}
    server.wait_idle()
    before = server.health()["decoded_tokens"]
    for _ in range(8):
        hang_up(server, "Explain what an API is.", 0.02, stream=stream, **endless)
    server.wait_idle()
    assert server.health()["decoded_tokens"] - before < 8 * 400 * 0.7  # complete answers would be 3200 tokens


def end_forbidden() -> dict[str, float]:
    """Makes the end-of-turn token unlikely, so that the answer has max_tokens."""
    return {"958": -100}


def test_incomplete_requests_do_not_block_others(server: Server, alone: dict[str, str]) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    silent = [socket.create_connection((host, int(port)), timeout=60) for _ in range(60)]
    for connection in silent[:20]:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Le")
    try:
        assert answer(server, QUESTIONS[0]) == alone[QUESTIONS[0]]
    finally:
        for connection in silent:
            connection.close()


def test_embeddings_of_one_account_do_not_delay_another_accounts(server: Server) -> None:
    order: list[str] = []

    def embed(account: str, inputs: int) -> None:
        texts = [f"{uuid4()}: " + "the capital of France " * 20 for _ in range(inputs)]  # each is made, none is known
        given = {"model": "all-minilm-l6-v2", "input": texts}
        assert server.post("/v1/embeddings", given, headers={"x-sluice-account": account}).status_code == 200
        order.append(account)

    until = time.monotonic() + 100

    def greedy() -> None:
        while "account-2" not in order and time.monotonic() < until:
            embed("account-1", 8)

    with ThreadPoolExecutor(6) as pool:
        many = [pool.submit(greedy) for _ in range(6)]
        eventually(lambda: len(order) >= 6)  # from now on one runs and the others wait
        before = len(order)
        embed("account-2", 1)
        overtook_by = order.index("account-2") - before
        for done in many:
            done.result()
    assert overtook_by < 3  # in turn it would be 5; one runs, and one may end while its answer travels
