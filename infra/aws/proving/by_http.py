"""What a caller sees of the deployment."""

from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

from infra.aws.proving.account import Account, NotShown, Skipped
from infra.aws.smoke import Smoke

AT_ONCE, RPM = 20, 5
LEAST_SECONDS = 0.1
TRIES = 3
QUESTION = {"messages": [{"role": "user", "content": "What is an API?"}], "stream": True, "max_tokens": 200}


def whole_path(account: Account) -> str:
    said: list[str] = []
    Smoke(account.web, said.append).run(account.email, account.password)
    return f"{len(said)} steps, the last: {said[-1]}"


def streams(account: Account) -> str:
    """By the ledger's own times of the answer. The demo model may be too fast to tell.

    One answer that comes in pieces is enough, because what is busy on the way may hold back another's.
    """
    token, token_id = account.token()
    model = account.web.need(200, "GET", "/v1/models", bearer=token).body["data"][0]["id"]
    log = f"/usage/logs?limit=1&token_id={token_id}"
    for _ in range(TRIES):
        times = _pieces(account, {"model": model, **QUESTION}, token)
        (row,) = account.until(
            lambda: account.web.need(200, "GET", log, bearer=account.session).body["data"], "the log"
        )
        made_seconds = (row["response_time_ms"] - row["ttft_ms"]) / 1000
        seen = (
            f"{len(times)} pieces, the first after {times[0]:.2f} s, the last after {times[-1]:.2f} s; "
            f"the model made them within {made_seconds:.2f} s"
        )
        if made_seconds >= LEAST_SECONDS and times[-1] - times[0] >= made_seconds / 2:
            return seen
    if made_seconds < LEAST_SECONDS:
        raise Skipped(f"{seen}, too fast to tell")
    raise NotShown(seen)


def _pieces(account: Account, body: dict[str, Any], token: str) -> list[float]:
    """When each piece of an answer's text came, in seconds from the request."""
    began, times = monotonic(), []
    for chunk in account.web.stream("/v1/chat/completions", body, token):
        if chunk["choices"] and chunk["choices"][0]["delta"].get("content"):
            times.append(monotonic() - began)
    if not times:
        raise NotShown("no text came")
    return times


def limits(account: Account) -> str:
    web, session = account.web, account.session
    who = web.need(200, "GET", "/account", bearer=session).body["id"]
    path = f"/admin/users/{who}"
    before = web.need(200, "GET", path, bearer=session).body["limits"]
    kept = {name: before[name] for name in ("rpm", "concurrency")}
    token, token_id = account.token()
    model = web.need(200, "GET", "/v1/models", bearer=token).body["data"][0]["id"]
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    web.need(200, "PUT", f"{path}/limits", {"rpm": RPM, "concurrency": AT_ONCE}, session)
    began = monotonic()
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            asked = [pool.submit(web.call, "POST", "/v1/chat/completions", body, token) for _ in range(AT_ONCE)]
        statuses = [one.result().status for one in asked]
    finally:
        web.need(200, "PUT", f"{path}/limits", kept, session)
    most = RPM + int((monotonic() - began) * RPM / 60)  # the bucket refills meanwhile
    logged = web.need(200, "GET", f"/usage/logs?limit=100&token_id={token_id}", bearer=session).body["data"]
    passed, refused = statuses.count(200), statuses.count(429)
    seen = (
        f"of {AT_ONCE} at once at {RPM} a minute {passed} passed, {refused} were refused; {len(logged)} are in the log"
    )
    if not 1 <= passed <= most or not refused or len(logged) < passed or len(logged) > most:
        raise NotShown(seen)
    return seen


def throttles(account: Account) -> str:
    with ThreadPoolExecutor(60) as pool:
        answers = [one.result() for one in [pool.submit(account.web.call, "GET", "/healthz") for _ in range(120)]]
    refused = [answer for answer in answers if answer.status == 429]
    if not refused or refused[0].body["error"]["code"] != "rate_limit_exceeded":
        raise NotShown(f"of {len(answers)} calls of /healthz at once {len(refused)} were 429")
    other = account.web.call("GET", "/openapi.json").status
    if other != 200:
        raise NotShown(f"/openapi.json was a {other} meanwhile, so methods are not counted each by itself")
    return f"of {len(answers)} calls of /healthz at once {len(refused)} were 429, and another method answered meanwhile"


def wrong_method(account: Account) -> str:
    status = account.web.call("DELETE", "/v1/models").status
    if status != 404:
        raise NotShown(f"DELETE /v1/models is a {status}")
    return "DELETE /v1/models is a 404"
