"""One way to serve a model, in a separate process, to measure its CPU time and memory.

Reads a line `{"width": 8, "tokens": 32}` per round and answers with a line of figures. Imports only the library that it
measures, so that `xllamacpp` can run in another environment.
"""

import atexit
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

CONTEXT_TOKENS = 512
measured: int | str = "self"
"""The process whose CPU time and memory are taken."""
SYSTEM = "You are a helpful assistant. Answer the question."
Ask = Callable[[int, int], tuple[float, int]]
"""(request number, tokens to generate) → (seconds to the first token, generated tokens)."""


def messages(number: int) -> list[dict[str, str]]:
    question = f"Count from {number % 7 + 1} to 60. Question number {number}."
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]


def locked_llama(path: str, threads: int, _slots: int) -> Ask:
    """llama-cpp-python as it is often served: one `Llama` behind a lock."""
    from llama_cpp import Llama

    model = Llama(path, n_ctx=CONTEXT_TOKENS, n_threads=threads, n_threads_batch=threads, verbose=False)
    bias = {model.token_eos(): -1e9, 956: -1e9}
    lock = threading.Lock()

    def ask(number: int, tokens: int) -> tuple[float, int]:
        began, first, count = time.perf_counter(), 0.0, 0
        options: dict[str, Any] = {"max_tokens": tokens, "temperature": 0, "stream": True, "logit_bias": bias}
        with lock:
            for chunk in model.create_chat_completion(messages(number), **options):
                if "content" in chunk["choices"][0]["delta"]:
                    first = first or time.perf_counter()
                    count += 1
        return first - began, max(count, tokens)

    return ask


def own_engine(path: str, threads: int, slots: int) -> Ask:
    """This project's engine."""
    from functions.inference.engine.engine import Engine, EngineLimits
    from functions.inference.engine.jobs import Delta, Failed, Finished, Job, Sampling
    from functions.inference.llama.backend import LlamaBackend
    from functions.inference.llama.runtime import LoadOptions, load_model, start_library
    from functions.inference.models.chat_template import ChatTemplate
    from functions.inference.models.prompt_tokenizer import PromptTokenizer

    start_library()
    handle = load_model(Path(path), LoadOptions())
    backend = LlamaBackend(handle, sequences=slots, context_tokens=CONTEXT_TOKENS, batch_tokens=512, threads=threads)
    prompts = PromptTokenizer(backend, backend.control_tokens())
    template = ChatTemplate(backend.chat_template() or "", mark=prompts.mark)
    engine = Engine(backend, EngineLimits(slots=slots, queue_wait_s=600))
    engine.start()

    def ask(number: int, tokens: int) -> tuple[float, int]:
        began, first = time.perf_counter(), 0.0
        prompt = prompts.encode(template.render(messages(number)))
        job = engine.submit(Job(prompt, tokens, Sampling(ignore_eos=True), account=str(number)))
        while True:
            event = job.next_event(600)
            first = first or (time.perf_counter() if isinstance(event, Delta) else 0.0)
            if isinstance(event, Finished):
                return (first or time.perf_counter()) - began, event.completion_tokens
            if event is None or isinstance(event, Failed):
                raise RuntimeError(f"no answer: {event}")

    return ask


def xllamacpp_server(path: str, threads: int, slots: int) -> Ask:
    """llama.cpp's own server, in this process."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_parallel, params.n_ctx = slots, CONTEXT_TOKENS * slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(params)

    def ask(number: int, tokens: int) -> tuple[float, int]:
        began, seen = time.perf_counter(), {"first": 0.0, "tokens": 0}

        def take(chunk: Any) -> bool:
            decoded = json.loads(chunk) if isinstance(chunk, str | bytes) else chunk
            for part in decoded if isinstance(decoded, list) else [decoded]:
                if part.get("usage"):
                    seen["tokens"] = part["usage"]["completion_tokens"]
                if part.get("choices") and part["choices"][0]["delta"].get("content") is not None:
                    seen["first"] = seen["first"] or time.perf_counter()
            return False

        request = {"messages": messages(number), "max_tokens": tokens, "temperature": 0, "stream": True}
        request |= {"ignore_eos": True, "stream_options": {"include_usage": True}}
        server.handle_chat_completions(request, take)
        return (seen["first"] or time.perf_counter()) - began, int(seen["tokens"])

    return ask


def llama_server(path: str, threads: int, slots: int) -> Ask:
    """llama.cpp's own server, the program named by LLAMA_SERVER, in a process of its own, whose figures are taken."""
    global measured
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {"-m": path, "-np": slots, "-c": CONTEXT_TOKENS * slots, "-t": threads, "-tb": threads, "--port": port}
    command = [os.environ["LLAMA_SERVER"], *(str(part) for pair in options.items() for part in pair)]
    measured = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).pid
    atexit.register(os.kill, measured, signal.SIGKILL)
    address = f"http://127.0.0.1:{port}"
    while True:
        with suppress(OSError), urllib.request.urlopen(f"{address}/health"):
            break
        time.sleep(0.2)

    def ask(number: int, tokens: int) -> tuple[float, int]:
        began, first, count = time.perf_counter(), 0.0, 0
        wanted = {"messages": messages(number), "max_tokens": tokens, "temperature": 0, "stream": True}
        body = json.dumps(wanted | {"ignore_eos": True, "stream_options": {"include_usage": True}}).encode()
        headers = {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(f"{address}/v1/chat/completions", body, headers)) as answer:
            for line in answer:
                chunk = json.loads(line[6:]) if line.startswith(b"data: {") else {}
                if chunk.get("choices") and chunk["choices"][0]["delta"].get("content") is not None:
                    first = first or time.perf_counter()
                count = (chunk.get("usage") or {}).get("completion_tokens", count)
        return (first or time.perf_counter()) - began, count

    return ask


WAYS = {"lock": locked_llama, "engine": own_engine, "xllamacpp": xllamacpp_server, "server": llama_server}


def measure(ask: Ask, width: int, tokens: int, numbers: list[int]) -> dict[str, Any]:
    """`width` concurrent callers with one request each."""
    results: list[tuple[float, int]] = []
    threads = [threading.Thread(target=lambda n=n: results.append(ask(n, tokens))) for n in numbers[:width]]
    before_s, began = cpu_s(), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall_s = time.perf_counter() - began
    (peak_kib,) = re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{measured}/status").read_text())
    return {
        "tokens": sum(count for _first, count in results),
        "wall_s": wall_s,
        "cpu_s": cpu_s() - before_s,
        "first_s": [first for first, _count in results],
        "peak_mib": int(peak_kib) // 1024,
    }


def cpu_s() -> float:
    """Of the measured process, so far."""
    fields = Path(f"/proc/{measured}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    way, path, threads, slots = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # replies use a separate descriptor, because libraries print to stdout
    ask = WAYS[way](path, threads, slots)
    ask(9999, 4)
    print(json.dumps({"ready": way}), file=replies, flush=True)
    number = 0
    for line in sys.stdin:
        wanted = json.loads(line)
        numbers = list(range(number, number + wanted["width"]))
        number += wanted["width"]
        print(json.dumps(measure(ask, wanted["width"], wanted["tokens"], numbers)), file=replies, flush=True)


if __name__ == "__main__":
    main()
    atexit._run_exitfuncs()
    os._exit(0)
