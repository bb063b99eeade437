"""A thousand wrong passwords for one account, each with another `X-Forwarded-For`: the attacker is throttled, the
owner is not."""

import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from requests.adapters import HTTPAdapter

from tests.e2e.conftest import NewSystem
from tests.e2e.people import PASSWORD, TIMEOUT_SECONDS, mails_to, register, verify

GUESSES = 1_000
AT_ONCE = 8
QUARTER_OF_AN_HOUR_SECONDS = 900


class Elsewhere(HTTPAdapter):
    """Calls from 127.0.0.2, which is another machine to the server."""

    def init_poolmanager(self, *args: object, **kwargs: object) -> None:
        super().init_poolmanager(*args, source_address=("127.0.0.2", 0), **kwargs)  # type: ignore[arg-type]


@pytest.mark.long
def test_a_thousand_guesses_with_invented_addresses_are_stopped_and_the_owner_gets_in(new_system: NewSystem) -> None:
    system = new_system({"SLUICE_AUTH_THROTTLE": "on"}).start()
    victim = register(system.base_url)
    verify(system.base_url, victim)
    url, numbers = system.base_url + "/auth/login", itertools.count()

    def guess(caller: requests.Session) -> list[tuple[int, int]]:
        seen = []
        while (number := next(numbers)) < GUESSES:
            invented = f"{number % 223 + 1}.{number // 223}.{number % 251}.7"
            headers = {"X-Forwarded-For": invented, "X-Real-IP": invented, "Forwarded": f"for={invented}"}
            body = {"email": victim, "password": f"wrong password {number}"}
            answer = caller.post(url, json=body, headers=headers, timeout=TIMEOUT_SECONDS)
            seen.append((answer.status_code, int(answer.headers.get("Retry-After", 0))))
        return seen

    with ThreadPoolExecutor(AT_ONCE) as pool:
        callers = [requests.Session() for _ in range(AT_ONCE)]
        answers = list(itertools.chain.from_iterable(pool.map(guess, callers)))
        for caller in callers:
            caller.close()
    statuses = Counter(status for status, _ in answers)
    assert sum(statuses.values()) == GUESSES and set(statuses) == {401, 429}
    assert 10 <= statuses[401] <= 30, statuses  # ten free attempts, then one for each doubling of the wait
    waits = [wait for status, wait in answers if status == 429]
    assert min(waits) >= 1 and max(waits) <= QUARTER_OF_AN_HOUR_SECONDS

    with requests.Session() as owner:
        owner.mount("http://", Elsewhere())
        answer = owner.post(url, json={"email": victim, "password": PASSWORD}, timeout=TIMEOUT_SECONDS)
    assert answer.status_code == 200, answer.text
    assert "127.0.0.2" in mails_to(system.base_url, victim, "new_sign_in")[0]["text"]
