"""Background streams whose connections are cut at random bytes, again and again: nothing is lost, nothing comes twice.

`SLUICE_CUT_STREAMS=1000` cuts so many; `make test-full` does, too.
"""

import os
import random
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.books import disagreements, settled
from tests.chaos.conftest import SWEEP_SECONDS
from tests.e2e import people
from tests.e2e.system import System
from tests.rounds import rounds

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(3600)]

STREAMS = int(os.environ.get("SLUICE_CUT_STREAMS", rounds(1000, 40)))
SEED = int(os.environ.get("SLUICE_CUT_SEED", str(random.SystemRandom().randrange(10**6))))
AT_ONCE = 8
MOST_CUTS = 8  # of a stream, after which it is read to its end
END = b"data: [DONE]\n\n"
RESPONSE_ID = re.compile(rb'"id":"(resp_\w{30})"')
NUMBER = re.compile(rb'"sequence_number":(\d+)')


class Reader:
    """One background response, followed with cuts. `got`: its whole events, without comments."""

    def __init__(self, person: people.Person, place: int) -> None:
        self._person, self._dice = person, random.Random(SEED * 1_000_003 + place)
        self.response_id, self.got, self.cuts = "", b"", 0
        asked = {"model": "demo", "input": f"Write a paragraph on what an API is, number {place}.", "background": True}
        self._ask = {"json": {**asked, "stream": True, "max_output_tokens": self._dice.choice((8, 60, 200))}}

    def read(self) -> "Reader":
        ended = self._cut("POST", "/v1/responses", **self._ask)
        while not ended:
            numbers = NUMBER.findall(self.got)
            after = f"&starting_after={int(numbers[-1])}" if numbers else ""
            ended = self._cut("GET", f"/v1/responses/{self.response_id}?stream=true{after}")
        return self

    def _cut(self, method: str, path: str, **more: object) -> bool:
        """One connection, cut after so many bytes. → whether the stream ended before that."""
        most = self._dice.randrange(2_000) if self.cuts < MOST_CUTS else 10**9
        answer = self._person.v1(method, path, stream=True, **more)
        assert answer.status_code == 200, answer.text
        taken = b""
        with answer:
            # The first event tells the id, without which nobody could go on.
            for piece in answer.iter_content(self._dice.randrange(1, 700)):
                taken += piece
                if len(taken) >= most and (self.response_id or RESPONSE_ID.search(taken)):
                    break
        whole = [
            event.lstrip(b"\n") + b"\n\n" for event in taken.replace(b": still working\n", b"").split(b"\n\n")[:-1]
        ]
        self.got += b"".join(event for event in whole if event.startswith(b"event: "))
        if not self.response_id:
            found = RESPONSE_ID.search(taken)
            assert found, taken
            self.response_id = found[1].decode()
        self.cuts += not taken.endswith(END)
        return taken.endswith(END)


def test_streams_cut_at_random_bytes_are_resumed_to_the_same_text_with_one_record_each(
    system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    person = people.newcomer(system.base_url)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        readers = list(pool.map(lambda place: Reader(person, place).read(), range(STREAMS)))
    for reader in readers:
        uncut = person.v1("GET", f"/v1/responses/{reader.response_id}?stream=true").content
        assert reader.got == uncut.replace(b": still working\n", b"").removesuffix(END), f"seed {SEED}"
    books = settled(system, SWEEP_SECONDS)
    records = Counter(record.request_id for record in books.ledger())
    assert records == Counter("req_" + reader.response_id[5:31].upper() for reader in readers)
    assert disagreements(books.ledger(), books.grants(), books.rolled_up()) == []
    with capsys.disabled():
        cuts, size = sum(reader.cuts for reader in readers), sum(len(reader.got) for reader in readers)
        print(f"\n  {STREAMS} streams of {size:,} bytes, cut {cuts} times (seed {SEED}): the same bytes, ", end="")
        print(f"{len(records)} records")
