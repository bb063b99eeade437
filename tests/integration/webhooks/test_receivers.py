"""Receivers that fail, hang, drip, redirect, answer without end, go away, or lead where nobody may be led."""

import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest

from functions.events.app import handler
from sluice.adapters import outgoing
from sluice.adapters.webhooks import sender
from sluice.domain.errors import StoreUnavailable
from sluice.domain.webhooks import CLAIM_MS, GIVE_UP_MS, SHOWN_DELIVERIES, may_reach
from sluice.wiring import peers, stores
from sluice.wiring.webhooks import announce, overdue
from tests.fakes.http_server import CHUNKED, SILENCE, Asked, ScriptedServer, answer, chunk, scripted_server
from tests.integration.accounts.world import switch_on_throttles
from tests.integration.gateway.conftest import Person
from tests.integration.webhooks.conftest import PATIENT, Hook, Machine, hooked
from tests.tls import make_certificate
from tests.waiting import eventually

PUBLIC = "93.184.216.34"


@contextmanager
def hurried() -> Iterator[None]:
    """For a receiver that never answers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sender, "BOUNDS", replace(PATIENT, seconds=1.0))
        yield


def told(person: Person, name: str = "resp_1", kind: str = "response.completed") -> None:
    announce()(person.account_id, kind, {"id": name}, peers.now_ms())


def sweep(machine: Machine) -> None:
    """The queue lost its messages; what is due comes from the table."""
    machine.messages()
    overdue().requeue(peers.now_ms() + 10_000)
    machine.work()


def pause(server: ScriptedServer) -> None:
    server.over.wait(1.5)


def drip(server: ScriptedServer) -> Callable[[], None]:
    def wait() -> None:
        server.over.wait(0.1)

    return wait


HOSTILE: dict[str, Callable[[ScriptedServer], tuple[Any, ...]]] = {
    "fails": lambda server: (answer(b"no", 500),),
    "redirects": lambda server: (answer(status=307, location=server.url + "/elsewhere"),),
    "hangs up": lambda server: (),
    "hangs": lambda server: (SILENCE,),
    "drips": lambda server: (b"HTTP/1.1 200", *(part for _ in range(200) for part in (drip(server), b" "))),
    "drips headers": lambda server: (
        b"HTTP/1.1 200 OK\r\n",
        *(part for n in range(200) for part in (drip(server), b"x-%d: 1\r\n" % n)),
    ),
    "endless headers": lambda server: (b"HTTP/1.1 200 OK\r\n", *(b"x-%d: " % n + b"y" * 60_000 for n in range(50))),
    "no HTTP": lambda server: (b"\xff\xfe<html>" * 100,),
    "asks for more": lambda server: (b"HTTP/1.1 100 Continue\r\n\r\n" * 3, SILENCE),
}
ENDLESS = ("hangs", "drips", "drips headers", "asks for more")


@pytest.mark.parametrize("how", HOSTILE)
def test_what_a_receiver_does_not_take_comes_again_with_the_same_id(
    person: Person, hook: Hook, machine: Machine, receiver: ScriptedServer, how: str, clock: Callable[[int], None]
) -> None:
    receiver.script(*HOSTILE[how](receiver))
    told(person)
    with hurried() if how in ENDLESS else nullcontext():
        machine.work()
    (delivery,) = hook.deliveries()
    assert delivery["status"] == "waiting" and delivery["attempts"] == 1 and delivery["problem"]
    eventually(lambda: receiver.asked)  # it reads in a thread of its own
    assert [asked.line for asked in receiver.asked] == ["POST /hook HTTP/1.1"]  # no redirect was followed
    receiver.script(answer())
    machine.work()
    assert len(receiver.asked) == 1  # its message came early
    clock(10_000)
    sweep(machine)
    first, second = (asked.headers["webhook-id"] for asked in receiver.asked)
    assert first == second
    (delivery,) = hook.deliveries()
    assert delivery["status"] == "delivered" and delivery["attempts"] == 2


def test_an_answer_without_end_is_not_read(
    person: Person, hook: Hook, machine: Machine, receiver: ScriptedServer
) -> None:
    sent = [0]

    def count() -> None:
        sent[0] += 1

    receiver.script(CHUNKED, *(part for _ in range(2_000) for part in (chunk(b"x" * 65_536), count)))
    told(person)
    machine.work()
    assert hook.deliveries()[0]["status"] == "delivered"
    assert sent[0] < 200  # what the sockets' buffers hold


def test_a_receiver_that_hangs_delays_nobody_else_and_is_left_alone(
    person: Person, hook: Hook, machine: Machine, receiver: ScriptedServer
) -> None:
    receiver.script(SILENCE)
    for place in range(5):
        told(person, f"resp_{place}")
    with hurried():
        machine.work()
        machine.work()
    eventually(lambda: receiver.asked)
    assert len(receiver.asked) == 1
    with scripted_server() as other:
        other.script(answer())
        hooked(person, other.url)
        told(person, "resp_6")
        machine.work()
        assert len(other.asked) == 1
    assert len(receiver.asked) == 1


def test_a_receiver_may_think_longer_than_a_connection_may_take(
    person: Person, hook: Hook, machine: Machine, receiver: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "BOUNDS", replace(PATIENT, connect_seconds=1.0))
    receiver.script(lambda: pause(receiver), answer())
    told(person)
    machine.work()
    assert [(one["status"], one["attempts"]) for one in hook.deliveries()] == [("delivered", 1)]


def test_what_is_not_answered_in_time_is_called_so(
    person: Person, hook: Hook, machine: Machine, receiver: ScriptedServer
) -> None:
    receiver.script(*HOSTILE["drips"](receiver))
    told(person)
    with hurried():
        machine.work()
    assert hook.deliveries()[0]["problem"] == "TimeoutError"


def test_410_disables_a_webhook_and_its_owner_is_told(
    person: Person, hook: Hook, machine: Machine, receiver: ScriptedServer
) -> None:
    receiver.script(answer(status=410))
    told(person)
    machine.work()
    assert hook.info()["enabled"] is False and hook.info()["disabled_because"] == "gone"
    assert [mail.kind for mail in stores.mail_store().of_account(person.account_id)].count("webhook_disabled") == 1
    told(person, "resp_2")
    assert machine.messages() == [] and len(hook.deliveries()) == 1
    assert hook.call("POST", "/test").status_code == 409
    receiver.script(answer())
    assert hook.call("PATCH", json={"enabled": True}).json["enabled"] is True
    assert hook.call("POST", "/test").status_code == 202
    machine.work()
    assert hook.deliveries()[0]["type"] == "webhook.test" and hook.deliveries()[0]["status"] == "delivered"


def test_a_webhook_that_takes_nothing_for_a_day_is_disabled_and_not_before(
    person: Person, hook: Hook, machine: Machine, receiver: ScriptedServer, clock: Callable[[int], None]
) -> None:
    receiver.script(answer(status=503))
    told(person)
    began_ms, tries = peers.now_ms(), 0
    while hook.info()["enabled"] and tries < 100:
        sweep(machine)
        tries += 1
        clock(15 * 60_000)
    lasted_ms = peers.now_ms() - began_ms
    assert GIVE_UP_MS - 3 * 3_600_000 < lasted_ms < GIVE_UP_MS + 3_600_000
    assert hook.info()["disabled_because"] == "failing"
    assert 10 < len(receiver.asked) < 30
    (delivery,) = hook.deliveries()
    assert delivery["status"] == "failed" and delivery["response_status"] == 503
    assert [mail.kind for mail in stores.mail_store().of_account(person.account_id)].count("webhook_disabled") == 1
    receiver.script(answer())
    hook.call("PATCH", json={"enabled": True})
    assert hook.call("POST", f"/deliveries/{delivery['event_id']}/repeat").status_code == 202
    machine.work()
    assert hook.deliveries()[0]["status"] == "delivered"
    assert receiver.asked[-1].headers["webhook-id"] == delivery["event_id"]


@pytest.mark.parametrize("how", ["repeated", "enabled"])
def test_what_waits_for_hours_is_sent_now_when_its_owner_says_so(
    person: Person, hook: Hook, machine: Machine, receiver: ScriptedServer, clock: Callable[[int], None], how: str
) -> None:
    receiver.script(answer(status=503))
    told(person)
    for _ in range(10):
        sweep(machine)
        clock(3_600_000)
    sweep(machine)
    receiver.script(answer())
    tried = len(receiver.asked)
    if how == "repeated":
        path = f"/deliveries/{hook.deliveries()[0]['event_id']}/repeat"
        assert [hook.call("POST", path).status_code for _ in range(2)] == [202, 202]
    else:
        for enabled in (False, True):
            assert hook.call("PATCH", json={"enabled": enabled}).status_code == 200
    machine.work()
    assert hook.deliveries()[0]["status"] == "delivered" and len(receiver.asked) == tried + 1


def test_a_repetition_takes_no_webhook_from_the_process_that_delivers_to_it(person: Person, hook: Hook) -> None:
    told(person)
    store, now_ms = stores.webhook_store(), peers.now_ms()
    claimed = store.claim(person.account_id, hook.id, now_ms, now_ms + CLAIM_MS)
    assert hook.call("POST", f"/deliveries/{hook.deliveries()[0]['event_id']}/repeat").status_code == 202
    assert claimed is not None and store.get(person.account_id, hook.id).due_ms == claimed.due_ms


def test_a_repetition_keeps_what_a_delivery_wrote_meanwhile(person: Person, hook: Hook) -> None:
    told(person)
    store, now_ms = stores.webhook_store(), peers.now_ms()
    webhook = store.get(person.account_id, hook.id)
    (read,) = store.waiting(webhook, 2)
    store.put_back(webhook, replace(read, attempts=3, problem="TimeoutError", next_ms=now_ms + GIVE_UP_MS))
    store.hasten(webhook, [read], now_ms)
    assert store.waiting(webhook, 2) == [replace(read, attempts=3, problem="TimeoutError", next_ms=now_ms)]
    store.end(webhook, replace(read, state="delivered"))
    store.hasten(webhook, [read], now_ms)
    assert store.waiting(webhook, 2) == []


def test_one_event_that_is_never_taken_holds_up_no_other_and_disables_nothing(
    person: Person, hook: Hook, machine: Machine, receiver: ScriptedServer, clock: Callable[[int], None]
) -> None:
    class Judge(tuple[bytes, ...]):
        def __iter__(self) -> Iterator[bytes]:
            yield answer(status=500 if b"resp_bad" in receiver.asked[-1].body else 200)

    receiver.steps = Judge((b"", b""))
    told(person, "resp_bad")
    for place in range(40):
        sweep(machine)
        told(person, f"resp_{place}")
        clock(3_600_000)
    sweep(machine)
    states = {one["data"]["id"]: one["status"] for one in hook.deliveries()}
    assert states.pop("resp_bad") == "failed"
    assert set(states.values()) == {"delivered"} and hook.info()["enabled"]


# --- where it may lead


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Each look-up of a name gives the next address. → the names asked for."""
    asked, left = [], list(addresses)

    def looked_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        found = left.pop(0) if len(left) > 1 else left[0]
        family = socket.AF_INET6 if ":" in found else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (found, port))]

    monkeypatch.setattr(outgoing.socket, "getaddrinfo", looked_up)
    return asked


INSIDE = [
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "169.254.170.2",
    "0.0.0.0", "224.0.0.1", "239.255.255.250", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "192.0.0.8",
    "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:93.184.216.34",
    "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::", "2001:db8::1", "3fff::1",
    "fec0::1", "100::1", "5f00::1", "fe80::1%eth0",
]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_no_address_inside_is_reached(address: str) -> None:
    assert not may_reach(address, allow_private=False)


@pytest.mark.parametrize("address", [PUBLIC, "1.1.1.1", "2606:4700::1111", "2a00:1450:4001::1"])
def test_addresses_of_the_internet_are_reached(address: str) -> None:
    assert may_reach(address, allow_private=False)


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0", "::ffff:169.254.169.254"])
def test_no_owner_can_let_webhooks_reach_a_clouds_secrets(address: str) -> None:
    assert not may_reach(address, allow_private=True)


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1"])
def test_a_name_that_leads_inside_is_not_asked(
    person: Person, machine: Machine, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    hook = hooked(person, "https://hook.example/")
    dialled: list[Any] = []
    monkeypatch.setattr(outgoing.socket, "create_connection", lambda *to: dialled.append(to))
    resolving(monkeypatch, address)
    told(person)
    machine.work()
    assert dialled == [] and hook.deliveries()[0]["problem"] == "NotAllowed"


def test_a_name_that_changes_its_address_after_it_was_looked_up_gains_nothing(
    person: Person, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooked(person, "https://hook.example:8443/")
    dialled: list[Any] = []

    def dial(to: tuple[str, int], *_: Any) -> Any:
        dialled.append(to)
        raise ConnectionRefusedError

    monkeypatch.setattr(outgoing.socket, "create_connection", dial)
    asked = resolving(monkeypatch, PUBLIC, "127.0.0.1")
    told(person)
    machine.work()
    assert asked == ["hook.example"] and dialled == [(PUBLIC, 8443)]


def test_a_name_server_that_does_not_answer_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(outgoing.socket, "getaddrinfo", lambda *_, **__: over.wait(60) and [])
    with pytest.raises(OSError):
        outgoing.exchange("POST", "https://hook.example/", {}, b"", replace(sender.BOUNDS, connect_seconds=0.1), bool)
    over.set()


@pytest.mark.parametrize(
    "url",
    [
        "http://hook.example/", "https://127.0.0.1/", "https://[::1]/", "https://169.254.169.254/latest", "ftp://hook.example/",
        "https://user:secret@hook.example/", "https://hook.example/#part", "https://hook.example:22/", "https://hook.example:80/",
        "https:///nowhere", "hook.example", "https://hook.example/ x", "https://hook.example:99999/", "https://hö.example/",
        "https://[::ffff:10.0.0.1]/", "https://hook.example/" + "x" * 2_000, "javascript:alert(1)", "file:///etc",
        "",
    ],
)  # fmt: skip
def test_such_an_address_is_refused_when_the_webhook_is_made(person: Person, machine: Machine, url: str) -> None:
    made = person.call("POST", "/webhooks", json={"url": url, "events": ["response.completed"]})
    assert made.status_code == 422, made.json
    assert person.call("GET", "/webhooks").json == {"data": []}


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "localhost", "127.1", "0"])
def test_other_spellings_of_this_machine_are_not_asked(person: Person, machine: Machine, host: str) -> None:
    with scripted_server() as server:
        server.script(answer())
        hook = hooked(person, f"https://{host}:{server.url.rpartition(':')[2]}/")
        told(person)
        machine.work()
        assert server.asked == [] and hook.deliveries()[0]["status"] == "waiting"


# --- at once, killed, store down


def test_twice_at_once_is_delivered_once(
    person: Person, hook: Hook, machine: Machine, receiver: ScriptedServer
) -> None:
    receiver.script(lambda: receiver.over.wait(0.05) and None, answer())
    for place in range(3):
        told(person, f"resp_{place}")
    (message,) = machine.messages()
    threads = [threading.Thread(target=handler, args=({"Records": [message]}, None)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receiver.asked) == 3 and len({asked.headers["webhook-id"] for asked in receiver.asked}) == 3


@pytest.mark.parametrize("step", ["send", "end", "release"])
def test_a_process_that_dies_half_way_is_followed_by_another(
    person: Person,
    hook: Hook,
    machine: Machine,
    receiver: ScriptedServer,
    clock: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    told(person)
    with monkeypatch.context() as patch:
        if step == "send":
            patch.setattr(http.client.HTTPResponse, "begin", die)  # after the request was sent
        else:
            patch.setattr(type(stores.webhook_store()), step, die)
        with pytest.raises(Killed):
            machine.work()
    eventually(lambda: receiver.asked)  # it reads in a thread of its own
    sweep(machine)
    assert len(receiver.asked) == 1  # its claim is alive
    clock(CLAIM_MS)
    sweep(machine)
    assert len(receiver.asked) == (1 if step == "release" else 2)
    assert len({asked.headers["webhook-id"] for asked in receiver.asked}) == 1
    assert hook.deliveries()[0]["status"] == "delivered"
    assert stores.webhook_store().overdue(peers.now_ms() + GIVE_UP_MS, 10) == []


def test_while_the_store_is_down_messages_and_changes_come_again(
    person: Person, hook: Hook, machine: Machine, receiver: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any, **__: Any) -> None:
        raise StoreUnavailable

    told(person)
    (message,) = machine.messages()
    with monkeypatch.context() as patch:
        patch.setattr(type(stores.webhook_store()), "claim", down)
        assert handler({"Records": [message]}, None) == {
            "batchItemFailures": [{"itemIdentifier": message["messageId"]}]
        }
    assert handler({"Records": [message]}, None) == {"batchItemFailures": []}
    assert len(receiver.asked) == 1


def test_news_during_a_delivery_are_not_forgotten(
    person: Person, hook: Hook, machine: Machine, receiver: ScriptedServer
) -> None:
    """The event comes after the last look at what waits, and before the claim is given back."""
    real = type(stores.webhook_store()).release

    def late(*arguments: Any) -> None:
        told(person, "resp_late")
        real(*arguments)

    told(person)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(stores.webhook_store()), "release", late)
        machine.work()
    sweep(machine)
    assert len(receiver.asked) == 2


def test_garbage_in_the_queue_is_skipped(machine: Machine) -> None:
    bodies = ["", "{}", "[]", '{"account_id": 7}', '{"account_id": "usr_x", "run_id": "hook#whk_none"}']
    records = [{"messageId": str(place), "body": body} for place, body in enumerate(bodies)]
    assert handler({"Records": records}, None) == {"batchItemFailures": []}


def test_a_secret_that_cannot_be_opened_fills_no_dead_letters(
    person: Person, hook: Hook, machine: Machine, receiver: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a restoration with another key."""
    told(person)
    monkeypatch.setattr(peers.secret_box(), "_secret", lambda: b"x" * 32)
    machine.work()
    assert receiver.asked == [] and hook.deliveries()[0]["status"] == "waiting"


# --- TLS


@pytest.mark.parametrize("name", ["hook.example", "other.example"])
def test_the_certificate_must_be_of_the_name_and_the_address_is_the_one_that_was_judged(
    person: Person, machine: Machine, inside: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    certificate = make_certificate(tmp_path, [name])
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    named: list[str | None] = []
    context.sni_callback = lambda _, asked, __: named.append(asked)  # type: ignore[assignment]
    with scripted_server() as server:
        real, server.serve = server.serve, lambda raw: None  # type: ignore[method-assign]

        def serve(raw: socket.socket) -> None:
            with raw, suppress(OSError), context.wrap_socket(raw, server_side=True) as secured:
                real(secured)

        server.serve = serve  # type: ignore[method-assign]
        server.script(answer())
        port = server.url.rpartition(":")[2]
        hook = hooked(person, f"https://hook.example:{port}/")
        resolving(monkeypatch, "127.0.0.1")
        told(person)
        machine.work()
        assert named == ["hook.example"]
        if name == "hook.example":
            assert server.asked[0].headers["host"] == f"hook.example:{port}"
            assert hook.deliveries()[0]["status"] == "delivered"
        else:
            assert server.asked == [] and hook.deliveries()[0]["problem"] == "SSLCertVerificationError"


def test_a_handshake_that_drips_ends_at_the_deadline(
    person: Person, machine: Machine, inside: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted_server() as server:

        def serve(raw: socket.socket) -> None:
            with raw, suppress(OSError):
                raw.sendall(b"\x16\x03\x03\x40\x00")  # a record of 16 KB, of which one byte a moment comes
                while not server.over.wait(0.05):
                    raw.sendall(b"\x02")

        server.serve = serve  # type: ignore[method-assign]
        hook = hooked(person, f"https://127.0.0.1:{server.url.rpartition(':')[2]}/")
        told(person)
        with hurried():
            machine.work()
        assert hook.deliveries()[0]["attempts"] == 1 and hook.deliveries()[0]["problem"]


# --- secrets


def verified(asked: Asked, secret: str) -> bool:
    try:
        openai.OpenAI(api_key="unused").webhooks.verify_signature(
            asked.body, asked.headers, secret=secret, tolerance=600
        )
    except openai.InvalidWebhookSignatureError:
        return False
    return True


def test_a_secret_is_replaced_without_a_gap(
    person: Person, hook: Hook, machine: Machine, receiver: ScriptedServer, clock: Callable[[int], None]
) -> None:
    new = hook.call("POST", "/rotate", json={"grace_seconds": 60}).json["secret"]
    assert new != hook.secret
    told(person)
    machine.work()
    assert verified(receiver.asked[0], hook.secret) and verified(receiver.asked[0], new)
    clock(61_000)
    told(person, "resp_2")
    machine.work()
    assert verified(receiver.asked[1], new) and not verified(receiver.asked[1], hook.secret)


def test_secrets_are_stored_encrypted_and_shown_once(person: Person, hook: Hook, machine: Machine) -> None:
    listed = person.call("GET", "/webhooks").text + hook.call("GET").text + person.call("GET", "/account/export").text
    items = machine.store.client.scan(TableName=machine.store.prefix + "webhooks")["Items"]
    for text in (listed, str(items)):
        assert hook.secret not in text and hook.secret.removeprefix("whsec_") not in text
    assert "whsec_" not in listed and hook.id in listed


def test_the_list_of_deliveries_is_bounded(
    person: Person, hook: Hook, machine: Machine, receiver: ScriptedServer
) -> None:
    for place in range(SHOWN_DELIVERIES + 5):
        told(person, f"resp_{place}")
    machine.work()
    shown = hook.deliveries()
    assert len(shown) == SHOWN_DELIVERIES and shown[0]["data"]["id"] == f"resp_{SHOWN_DELIVERIES + 4}"
    assert len(receiver.asked) == SHOWN_DELIVERIES + 5


def test_what_an_owner_does_with_a_webhook_is_in_the_audit_log_up_to_a_bound(
    person: Person, hook: Hook, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch_on_throttles(monkeypatch)
    hook.call("PATCH", json={"enabled": False})
    hook.call("POST", "/rotate", json={"grace_seconds": 60})
    hook.call("GET")
    hook.call("POST", "/test")
    hook.call("DELETE")
    assert hook.call("DELETE").status_code == 404  # no event
    items = machine.store.client.scan(TableName=machine.store.prefix + "audit")["Items"]
    found = [one for one in items if one["action"]["S"].startswith("webhook_")]
    found.sort(key=lambda one: one["created_ms"]["N"])
    names = ["webhook_made", "webhook_changed", "webhook_secret_renewed", "webhook_deleted"]
    assert [one["action"]["S"] for one in found] == names
    assert {one["actor"]["S"] for one in found} == {person.account_id} == {one["target"]["S"] for one in found}
    assert {one["after"]["M"]["webhook"]["S"] for one in found} == {hook.id}
    assert hook.secret not in str(found) and "hook" not in str(found).replace("webhook", "")
