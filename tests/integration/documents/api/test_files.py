"""`/v1/files`: upload, list, download, delete; metering, limits, and isolation between accounts."""

import io

import pytest

from sluice.domain.documents.uploads import MAX_FILE_BYTES, clean_filename
from sluice.domain.errors import StoreUnavailable
from tests.integration.documents.api.conftest import BOUNDARY, Library, Reader, multipart, ok, refused


def test_an_uploaded_file_is_listed_and_downloaded_unchanged(reader: Reader) -> None:
    sent = bytes(range(256)) * 10
    made = ok(reader.upload(sent, "b y t e s.bin"))
    assert made == {
        "id": made["id"],
        "object": "file",
        "bytes": 2560,
        "created_at": made["created_at"],
        "filename": "b y t e s.bin",
        "purpose": "assistants",
        "status": "uploaded",
        "status_details": None,
        "expires_at": None,
    }
    assert made["id"].startswith("file_")
    assert ok(reader.v1("GET", f"/files/{made['id']}")) == made
    assert ok(reader.v1("GET", "/files"))["data"] == [made]
    assert reader.v1("GET", f"/files/{made['id']}/content").data == sent


def test_file_content_is_sent_as_an_attachment(reader: Reader) -> None:
    identifier = reader.file("<script>alert(1)</script>", "x\u202e<b> é.html")
    answer = reader.v1("GET", f"/files/{identifier}/content")
    assert answer.mimetype == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''x%3Cb%3E%20%C3%A9.html"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_a_deleted_file_is_gone_and_frees_its_bytes(reader: Reader) -> None:
    from sluice.wiring import stores

    identifier = reader.file()
    assert stores.file_store().held_bytes(reader.account_id) > 0
    assert ok(reader.v1("DELETE", f"/files/{identifier}")) == {"id": identifier, "deleted": True, "object": "file"}
    assert stores.file_store().held_bytes(reader.account_id) == 0
    assert [key for kind in ("files", "texts") for key in stores.blobs().keys(f"{kind}/{reader.account_id}/")] == []
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        assert refused(reader.v1(method, f"/files/{identifier}{path}")) == (404, "not_found")
    assert ok(reader.v1("GET", "/files"))["data"] == []


def test_pages_follow_each_other_in_both_orders_and_by_purpose(reader: Reader) -> None:
    made = [reader.file(str(number), f"{number}.txt") for number in range(5)]
    batch = ok(reader.upload("{}", "b.jsonl", purpose="batch"))["id"]
    for order, wanted in (("asc", [*made, batch]), ("desc", [batch, *made[::-1]])):
        seen: list[str] = []
        after = ""
        while True:
            page = ok(reader.v1("GET", f"/files?limit=2&order={order}" + (f"&after={after}" if after else "")))
            seen += [file["id"] for file in page["data"]]
            assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
            if not page["has_more"]:
                break
            after = page["last_id"]
        assert seen == wanted
    page = ok(reader.v1("GET", "/files?purpose=assistants&limit=4&order=asc"))
    assert ([file["id"] for file in page["data"]], page["has_more"]) == (made[:4], True)
    assert [file["id"] for file in ok(reader.v1("GET", "/files?purpose=batch"))["data"]] == [batch]


@pytest.mark.parametrize("query", ["limit=0", "limit=10001", "limit=x", "order=up", f"after={'x' * 129}"])
def test_a_wrong_query_is_a_400_that_names_the_parameter(reader: Reader, query: str) -> None:
    answer = reader.v1("GET", f"/files?{query}")
    assert answer.status_code == 400
    assert answer.json["error"]["param"] == query.split("=")[0]  # type: ignore[index]


def test_an_upload_counts_as_one_request_and_takes_no_tokens(reader: Reader) -> None:
    answer = reader.upload()
    assert answer.headers["x-ratelimit-remaining-requests"] == "59"
    (entry,) = reader.log()
    assert (entry["endpoint"], entry["status"], entry["total_tokens"]) == ("files", 200, 0)
    assert entry["id"] == answer.headers["x-sluice-request-id"]
    assert (reader.grant().leases, reader.grant().period_tokens) == ({}, 0)
    for path in ("/files", f"/files/{answer.json['id']}"):  # type: ignore[index]
        assert "x-ratelimit-limit-requests" not in reader.v1("GET", path).headers
    assert len(reader.log()) == 1


def test_uploads_past_the_request_limit_are_refused_and_store_nothing(reader: Reader) -> None:
    reader.store.client.update_item(
        TableName=reader.store.prefix + "grants",
        Key={"account_id": {"S": reader.account_id}},
        UpdateExpression="SET limits.rpm = :two",
        ExpressionAttributeValues={":two": {"N": "2"}},
    )
    answers = [reader.upload() for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert refused(answers[-1])[1] == "rate_limit_exceeded"
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert len(ok(reader.v1("GET", "/files"))["data"]) == 2
    assert reader.v1("DELETE", f"/files/{answers[0].json['id']}").status_code == 200  # type: ignore[index]


def test_a_file_of_four_mebibytes_is_accepted_and_one_byte_more_is_refused(reader: Reader) -> None:
    assert reader.upload(b"x" * MAX_FILE_BYTES).status_code == 200
    for size in (MAX_FILE_BYTES + 1, MAX_FILE_BYTES + 200_000):
        assert refused(reader.upload(b"x" * size)) == (413, "request_too_large")
    assert len(reader.log()) == 1  # the file that was too large took nothing


def test_an_upload_to_a_full_account_is_refused_with_an_explanation(reader: Reader) -> None:
    kept = reader.file(b"x" * MAX_FILE_BYTES)
    answer = reader.upload(b"x" * (3 * 1024 * 1024))
    assert refused(answer) == (413, "request_too_large")
    assert "4.0 MiB of the 6.0 MiB" in answer.json["error"]["message"]  # type: ignore[index]
    assert [file["id"] for file in ok(reader.v1("GET", "/files"))["data"]] == [kept]
    assert [entry["status"] for entry in reader.log()] == [413, 200]
    assert reader.grant().leases == {}
    ok(reader.v1("DELETE", f"/files/{kept}"))
    assert reader.upload(b"x" * (3 * 1024 * 1024)).status_code == 200


@pytest.mark.parametrize(
    ("data", "content_type", "status", "param"),
    [
        (b"{}", "application/json", 415, None),
        (b"", "multipart/form-data", 400, "file"),
        ({"purpose": "assistants"}, "multipart/form-data", 400, "file"),
        ({"purpose": "assistants", "file": "text"}, "multipart/form-data", 400, "file"),
        ({"file": (io.BytesIO(b"x"), "a.txt")}, "multipart/form-data", 400, "purpose"),
        ({"file": (io.BytesIO(b"x"), "a.txt"), "purpose": "fun"}, "multipart/form-data", 400, "purpose"),
        ({"file": (io.BytesIO(b"x"), ".."), "purpose": "assistants"}, "multipart/form-data", 400, "file"),
        ({"file": (io.BytesIO(b"x"), "x" * 256), "purpose": "assistants"}, "multipart/form-data", 400, "file"),
        (
            {"file": (io.BytesIO(b"x"), "a"), "purpose": "batch", "expires_after[seconds]": "3600"},
            "multipart/form-data",
            400,
            "expires_after",
        ),
    ],
)
def test_a_form_of_the_wrong_shape_is_refused(
    reader: Reader, data: object, content_type: str, status: int, param: str | None
) -> None:
    answer = reader.v1("POST", "/files", data=data, content_type=content_type)
    assert answer.status_code == status
    assert answer.json["error"]["param"] == param  # type: ignore[index]
    assert ok(reader.v1("GET", "/files"))["data"] == []


def test_a_part_without_a_name_is_ignored_as_an_unknown_field_is(reader: Reader) -> None:
    whole = multipart({"purpose": "assistants"}, "tea.txt", b"tea")
    nameless = b"--" + BOUNDARY.encode() + b"\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + whole
    answer = reader.v1("POST", "/files", data=nameless, content_type=f"multipart/form-data; boundary={BOUNDARY}")
    assert [one["id"] for one in ok(reader.v1("GET", "/files"))["data"]] == [ok(answer)["id"]]


def test_the_filename_is_the_last_part_of_a_path(reader: Reader) -> None:
    for sent, kept in (("../../etc/passwd", "passwd"), ("a/b/c.txt", "c.txt"), ("\u202eevil\x07.txt", "evil.txt")):
        assert ok(reader.upload("x", sent))["filename"] == kept
    assert clean_filename("C:\\Users\\ann\\tea.txt") == "tea.txt"


def test_a_file_of_another_account_is_not_found(reader: Reader, other: Reader) -> None:
    identifier = reader.file()
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        assert refused(other.v1(method, f"/files/{identifier}{path}")) == (404, "not_found")
    assert ok(other.v1("GET", "/files"))["data"] == []
    assert reader.v1("GET", f"/files/{identifier}").status_code == 200


def test_the_error_for_an_api_token_without_the_scope_names_it(library: Library) -> None:
    narrow = library.reader(scopes=["inference"])
    for answer in (narrow.upload(), narrow.v1("GET", "/files"), narrow.v1("GET", "/vector_stores?limit=x")):
        assert refused(answer) == (403, "insufficient_scope")
    assert "'files'" in answer.json["error"]["message"]  # type: ignore[index]


def test_authentication_errors_take_precedence_over_validation_errors(reader: Reader) -> None:
    reader.call("POST", f"/tokens/{reader.token_id}/revoke")
    for answer in (reader.v1("POST", "/files", json={}), reader.v1("GET", "/files?limit=x"), reader.upload()):
        assert refused(answer) == (401, "invalid_api_key")


def test_bytes_that_could_not_be_stored_are_not_counted(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.wiring import stores

    def full(key: str, body: bytes, **more: str) -> None:
        raise StoreUnavailable()

    monkeypatch.setattr(stores.blobs(), "put", full)
    answer = reader.upload()
    assert refused(answer) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert stores.file_store().held_bytes(reader.account_id) == 0
    assert ok(reader.v1("GET", "/files"))["data"] == []
    assert reader.grant().leases == {}
