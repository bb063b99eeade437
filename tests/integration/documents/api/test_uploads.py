"""`/v1/uploads`: files in parts, with the official SDK and without: out of order, missing, foreign, at once, late."""

import hashlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2 as httpx
import openai
import pytest
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

from infra.commands.batch import Server
from sluice.domain.documents.document import MOST_UPLOADS, UPLOAD_MS
from sluice.domain.documents.uploads import MAX_FILE_BYTES
from sluice.domain.errors import RateLimitExceeded, StoreUnavailable
from sluice.wiring import stores
from tests.integration.documents.api.conftest import BOUNDARY, Library, Reader, ok, refused

ROWS = b"".join(b'{"custom_id": "row-%d"}\n' % number for number in range(5000))
"""108 KB."""


@pytest.fixture
def sdk(reader: Reader) -> Iterator[openai.OpenAI]:
    key = reader.api_token["Authorization"].removeprefix("Bearer ")
    with httpx.Client(transport=httpx.WSGITransport(app=reader.client.application)) as http:
        address = "http://sluice.test/v1"
        yield openai.OpenAI(
            api_key=key, base_url=address, http_client=http, max_retries=0, _strict_response_validation=True
        )


def begin(reader: Reader, size: int, **fields: Any) -> TestResponse:
    told = {"bytes": size, "filename": "rows.jsonl", "mime_type": "application/jsonl", "purpose": "batch", **fields}
    return reader.v1("POST", "/uploads", json=told)


def send(reader: Reader, upload: str, body: bytes, head: str = 'name="data"; filename="upload"') -> TestResponse:
    opening = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode()
    form = opening + body + f"\r\n--{BOUNDARY}--\r\n".encode()
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return reader.v1("POST", f"/uploads/{upload}/parts", data=form, content_type=kind)


def complete(reader: Reader, upload: str, parts: list[str], **fields: Any) -> TestResponse:
    return reader.v1("POST", f"/uploads/{upload}/complete", json={"part_ids": parts, **fields})


def cancel(reader: Reader, upload: str) -> TestResponse:
    return reader.v1("POST", f"/uploads/{upload}/cancel")


def begun(reader: Reader, *bodies: bytes) -> tuple[str, list[str]]:
    """An upload with these parts."""
    upload = str(ok(begin(reader, sum(map(len, bodies))))["id"])
    return upload, [str(ok(send(reader, upload, body))["id"]) for body in bodies]


def content(reader: Reader, file_id: str) -> bytes:
    return reader.v1("GET", f"/files/{file_id}/content").data


def parts_left(reader: Reader) -> list[str]:
    return list(stores.blobs().keys(f"parts/{reader.account_id}/"))


def test_the_sdk_uploads_a_file_in_parts(reader: Reader, sdk: openai.OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(ROWS)
    made = sdk.uploads.upload_file_chunked(
        file=path, mime_type="application/jsonl", purpose="batch", part_size=10_000, md5=hashlib.md5(ROWS).hexdigest()
    )
    assert (made.status, made.bytes, made.filename, made.purpose) == ("completed", len(ROWS), "rows.jsonl", "batch")
    assert made.object == "upload" and made.expires_at - made.created_at == 3600
    assert made.file is not None and made.file.status == "processed" and made.file.bytes == len(ROWS)
    assert sdk.files.content(made.file.id).content == ROWS
    assert [one.id for one in sdk.files.list(purpose="batch")] == [made.file.id]
    assert parts_left(reader) == [] and stores.file_store().held_bytes(reader.account_id) == len(ROWS)
    assert [(one["endpoint"], one["status"]) for one in reader.log()] == [("files", 200)]  # as any file


def test_the_sdks_own_size_of_parts_works_where_large_bodies_do(reader: Reader, sdk: openai.OpenAI) -> None:
    rows = ROWS * 42
    assert len(rows) > MAX_FILE_BYTES
    made = sdk.uploads.upload_file_chunked(
        file=rows, filename="r.jsonl", bytes=len(rows), mime_type="application/jsonl", purpose="batch"
    )
    assert made.file is not None and sdk.files.content(made.file.id).content == rows


def test_the_command_sends_a_large_file_in_parts_and_waits_where_it_must(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.commands.batch.PART_BYTES", 50_000)
    real, refusals = stores.blobs().put, iter([StoreUnavailable(), RateLimitExceeded(1)])

    def put(*told: Any, **more: Any) -> None:
        if (refusal := next(refusals, None)) is not None:
            raise refusal
        real(*told, **more)

    monkeypatch.setattr(stores.blobs(), "put", put)
    server = make_server("127.0.0.1", 0, reader.client.application, threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        asked = Server(f"http://127.0.0.1:{server.port}", reader.api_token["Authorization"].removeprefix("Bearer "))
        for rows in (ROWS, b"{}\n"):
            (path := tmp_path / "rows.jsonl").write_bytes(rows)
            assert content(reader, asked.upload(path)) == rows
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_document_may_come_in_parts_too(reader: Reader, sdk: openai.OpenAI) -> None:
    made = sdk.uploads.upload_file_chunked(
        file=b"Tea is grown.", filename="a.txt", bytes=13, mime_type="text/plain", purpose="assistants", part_size=5
    )
    assert made.file is not None and made.file.status == "uploaded"
    assert content(reader, made.file.id) == b"Tea is grown."
    assert refused(begin(reader, MAX_FILE_BYTES + 1, purpose="assistants")) == (413, "request_too_large")


def test_parts_are_put_together_in_the_order_of_the_call(reader: Reader) -> None:
    upload, (first, second, lost) = begun(reader, b"one ", b"two ", b"three ")
    assert refused(complete(reader, upload, [first, second])) == (400, None)
    assert refused(complete(reader, upload, [first, second, second])) == (400, None)
    wrong = complete(reader, upload, [first, second, lost], md5="0" * 32)
    assert (*refused(wrong), wrong.json["error"]["param"]) == (400, None, "md5")  # type: ignore[index]
    assert ok(reader.v1("GET", "/files"))["data"] == []
    made = ok(complete(reader, upload, [lost, first, second], md5=hashlib.md5(b"three one two ").hexdigest().upper()))
    assert content(reader, made["file"]["id"]) == b"three one two "


def test_the_same_completion_twice_gives_the_same_file(reader: Reader) -> None:
    upload, parts = begun(reader, b"one ", b"two")
    made = ok(complete(reader, upload, parts))
    assert ok(complete(reader, upload, parts)) == made
    assert [one["id"] for one in ok(reader.v1("GET", "/files"))["data"]] == [made["file"]["id"]]
    assert refused(cancel(reader, upload)) == (409, "conflict")
    assert refused(send(reader, upload, b"x")) == (409, "conflict")
    ok(reader.v1("DELETE", f"/files/{made['file']['id']}"))
    assert refused(complete(reader, upload, parts)) == (404, "not_found")


def test_completions_at_once_make_one_file(reader: Reader) -> None:
    upload, parts = begun(reader, *(b"%06d" % number for number in range(20)))
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda place: complete(reader, upload, parts[:: -1 if place % 2 else 1]), range(4)))
    told = {answer.status_code for answer in answers}
    files = ok(reader.v1("GET", "/files"))["data"]
    assert told <= {200, 409} and 200 in told and len(files) == 1
    whole = b"".join(b"%06d" % number for number in range(20))
    backwards = b"".join(b"%06d" % number for number in range(19, -1, -1))
    stored = content(reader, files[0]["id"])
    assert stored in (whole, backwards)
    row = stores.file_store().get(reader.account_id, files[0]["id"])
    assert row is not None and row.sha256 == hashlib.sha256(stored).hexdigest()
    assert all(answer.json["file"] == files[0] for answer in answers if answer.status_code == 200)  # type: ignore[index]
    assert stores.file_store().held_bytes(reader.account_id) == 120


def test_a_completion_and_a_cancellation_at_once_agree(reader: Reader) -> None:
    for _ in range(5):
        upload, parts = begun(reader, b"one ", b"two")
        with ThreadPoolExecutor(2) as threads:
            done = threads.submit(complete, reader, upload, parts)
            gone = threads.submit(cancel, reader, upload)
        files = ok(reader.v1("GET", "/files"))["data"]
        assert (done.result().status_code == 200) == bool(files) != (gone.result().status_code == 200)
        for file in files:
            ok(reader.v1("DELETE", f"/files/{file['id']}"))


@pytest.mark.parametrize("place", ["put_file", "delete", "change"])
def test_a_completion_that_died_half_way_is_repeated(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    upload, parts = begun(reader, b"one ", b"two")
    store = stores.upload_store() if place == "change" else stores.blobs()
    real, dies = getattr(store, place), [True]

    def broken(*told: Any, **more: Any) -> Any:
        if dies and (place != "change" or told[2] == "completed"):
            dies.clear()
            raise StoreUnavailable()
        return real(*told, **more)

    monkeypatch.setattr(store, place, broken)
    first = complete(reader, upload, parts)
    assert dies == [] and first.status_code == (200 if place == "delete" else 503)
    assert refused(cancel(reader, upload)) == refused(send(reader, upload, b"x")) == (409, "conflict")
    made = ok(complete(reader, upload, parts))
    assert content(reader, made["file"]["id"]) == b"one two"
    assert stores.file_store().held_bytes(reader.account_id) == 7


def test_a_part_that_could_not_be_stored_is_sent_again(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = ok(begin(reader, 6))["id"]

    def away(*told: Any, **more: Any) -> None:
        raise StoreUnavailable()

    with monkeypatch.context() as broken:
        broken.setattr(stores.blobs(), "put", away)
        assert refused(send(reader, upload, b"whole\n")) == (503, "unavailable")
    part = ok(send(reader, upload, b"whole\n"))["id"]
    assert refused(send(reader, upload, b"x"))[0] == 400  # three times the bytes are too many
    assert ok(complete(reader, upload, [part]))["file"]["bytes"] == 6


def test_parts_and_uploads_of_others_are_unknown(reader: Reader, library: Library) -> None:
    other = library.reader()
    upload, parts = begun(reader, b"mine")
    theirs, foreign = begun(other, b"hers")
    for answer in (send(other, upload, b"x"), complete(other, upload, parts), cancel(other, upload)):
        assert refused(answer) == (404, "not_found")
    assert refused(complete(reader, upload, foreign)) == (400, None)
    assert refused(complete(other, theirs, [f"../{upload}/{parts[0]}"])) == (400, None)
    again, _ = begun(reader, b"more")
    assert refused(complete(reader, again, parts)) == (400, None)
    assert ok(complete(reader, upload, parts))["file"]["bytes"] == 4


def test_a_cancelled_upload_takes_nothing_more(reader: Reader) -> None:
    upload, parts = begun(reader, b"one ", b"two")
    assert (ok(cancel(reader, upload))["status"], ok(cancel(reader, upload))["file"]) == ("cancelled", None)
    assert parts_left(reader) == []
    assert refused(send(reader, upload, b"x")) == refused(complete(reader, upload, parts)) == (409, "conflict")


def test_an_upload_expires_after_an_hour(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    upload, parts = begun(reader, b"one")
    later_ms = stores_now_ms() + UPLOAD_MS
    monkeypatch.setattr("sluice.http.documents.files.now_ms", lambda: later_ms)
    assert refused(send(reader, upload, b"x")) == refused(complete(reader, upload, parts)) == (409, "conflict")
    assert ok(cancel(reader, upload))["status"] == "expired"


def stores_now_ms() -> int:
    from sluice.wiring.gateway import gateway

    return gateway().now_ms()


def test_of_uploads_at_once_exactly_as_many_are_begun_as_there_is_room_for(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ok(begin(reader, 10))["id"]
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: begin(reader, 10), range(MOST_UPLOADS + 2)))
    assert sorted(one.status_code for one in answers) == [200] * (MOST_UPLOADS - 1) + [409] * 3
    ok(cancel(reader, first))
    ok(begin(reader, 10))
    later_ms = stores_now_ms() + UPLOAD_MS + 1000
    monkeypatch.setattr("sluice.http.documents.files.now_ms", lambda: later_ms)
    for _ in range(3 * MOST_UPLOADS):
        ok(cancel(reader, ok(begin(reader, 10))["id"]))
    assert len(stores.upload_store().known(reader.account_id)[1]) <= 2 * MOST_UPLOADS


def test_what_was_begun_counts_as_stored(reader: Reader) -> None:
    """The account may hold 6 MiB."""
    mib = 1024 * 1024
    first = ok(begin(reader, 4 * mib))["id"]
    assert refused(begin(reader, 3 * mib)) == (413, "request_too_large")
    ok(cancel(reader, first))
    upload, parts = begun(reader, b"x" * 3 * mib)
    ok(reader.upload(b"y" * 4 * mib))
    assert refused(complete(reader, upload, parts)) == (413, "request_too_large")
    ok(reader.v1("DELETE", f"/files/{ok(reader.v1('GET', '/files'))['data'][0]['id']}"))
    assert ok(complete(reader, upload, parts))["status"] == "completed"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"bytes": 0}, "bytes"),
        ({"bytes": "many"}, "bytes"),
        ({"bytes": True}, "bytes"),
        ({"filename": ".."}, "filename"),
        ({"filename": "x" * 300}, "filename"),
        ({"mime_type": None}, "mime_type"),
        ({"purpose": "else"}, "purpose"),
        ({"expires_after": {"anchor": "created_at", "seconds": 3600}}, "expires_after"),
    ],
)
def test_a_wrong_field_is_a_400_that_names_it(reader: Reader, fields: dict[str, Any], param: str) -> None:
    answer = begin(reader, 10, **fields)
    assert answer.status_code == 400 and answer.json["error"]["param"] == param  # type: ignore[index]


def test_garbage_is_refused(reader: Reader) -> None:
    upload, parts = begun(reader, b"one ", b"two")
    assert refused(begin(reader, 101 * 1024 * 1024)) == (413, "request_too_large")
    for head in ('name="data"', 'name="file"; filename="x"'):
        assert send(reader, upload, b"x", head).status_code == 400
    assert send(reader, upload, b"").status_code == send(reader, upload, b"12345678").status_code == 400
    assert reader.v1("POST", f"/uploads/{upload}/parts", json={}).status_code == 415
    for wrong in ([], ["part_x"], [7], parts * 501, "part"):
        assert complete(reader, upload, wrong).status_code == 400  # type: ignore[arg-type]
    assert complete(reader, upload, parts, md5="x").status_code == 400
    for name in ("upload_x", "file_" + upload[7:], upload.lower(), "uploads"):
        assert refused(cancel(reader, name)) == (404, "not_found")
    assert ok(complete(reader, upload, parts))["status"] == "completed"


def test_a_part_that_is_too_large_says_how_large_one_may_be(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sluice.http.documents.files.LARGER", re.compile("nothing"))
    upload = ok(begin(reader, 5 * 1024 * 1024))["id"]
    for size in (MAX_FILE_BYTES + 1, MAX_FILE_BYTES + 200_000):
        answer = send(reader, upload, b"x" * size)
        assert refused(answer) == (413, "request_too_large")
        assert "part_size" in answer.json["error"]["message"]  # type: ignore[index]


def test_an_api_token_needs_the_scope_files(library: Library) -> None:
    without = library.reader(scopes=["inference"])
    answers = (begin(without, 1), send(without, "upload_x", b"x"), complete(without, "x", ["y"]), cancel(without, "x"))
    assert {answer.status_code for answer in answers} == {403}


@pytest.mark.parametrize(("set_to", "status"), [("live = :map", 401), ("standing = :suspended", 403)])
def test_a_revoked_api_token_or_a_suspended_account_uploads_nothing(reader: Reader, set_to: str, status: int) -> None:
    upload, parts = begun(reader, b"one")
    values = {":map": {"M": {}}, ":suspended": {"S": "suspended"}}
    reader.store.client.update_item(
        TableName=reader.store.prefix + "grants",
        Key={"account_id": {"S": reader.account_id}},
        UpdateExpression="SET " + set_to,
        ExpressionAttributeValues={name: value for name, value in values.items() if name in set_to},
    )
    answers = (begin(reader, 1), send(reader, upload, b"x"), complete(reader, upload, parts), cancel(reader, upload))
    assert [answer.status_code for answer in answers] == [status] * 4
    assert len(parts_left(reader)) == 1


def test_uploads_go_with_their_account(reader: Reader) -> None:
    from sluice.services.documents.erase import EraseDocuments

    begun(reader, b"one")
    erase = EraseDocuments(stores.file_store(), stores.blobs())
    assert parts_left(reader)
    while not erase.erase_account(reader.account_id, 10):
        pass
    assert parts_left(reader) == [] and stores.upload_store().known(reader.account_id) == (0, [])
