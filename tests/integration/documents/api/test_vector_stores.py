"""`/v1/vector_stores…`: create, fill, search, empty; and isolation between accounts."""

import json
from typing import Any

import pytest

from sluice.domain.documents import keys
from sluice.domain.documents.document import Passage
from sluice.http.documents import vector_store_answers
from tests.integration.documents.api.conftest import TEA, Reader, ok, refused


def search(reader: Reader, store: str, query: Any = "Where is tea grown?", **more: Any) -> dict[str, Any]:
    return ok(reader.v1("POST", f"/vector_stores/{store}/search", json={"query": query, **more}))


def texts(page: dict[str, Any]) -> list[str]:
    return [found["content"][0]["text"] for found in page["data"]]


def events(reader: Reader) -> list[str]:
    """The events that `ingestion` would get for this account's stores."""
    from sluice.wiring import stores

    return list(stores.blobs().keys(f"{keys.CHANGES}/{reader.account_id}/"))


def test_a_store_is_created_listed_changed_and_deleted_and_its_files_stay(reader: Reader) -> None:
    file = reader.file()
    body = {"name": "papers", "file_ids": [file, file], "metadata": {"team": "a"}}
    made = ok(reader.v1("POST", "/vector_stores", json=body))
    assert made == {
        "id": made["id"],
        "object": "vector_store",
        "created_at": made["created_at"],
        "last_active_at": made["created_at"],
        "name": "papers",
        "status": "in_progress",
        "usage_bytes": 0,
        "file_counts": {"in_progress": 1, "completed": 0, "failed": 0, "cancelled": 0, "total": 1},
        "metadata": {"team": "a"},
        "expires_after": None,
        "expires_at": None,
    }
    assert ok(reader.v1("GET", f"/vector_stores/{made['id']}")) == made
    assert ok(reader.v1("GET", "/vector_stores"))["data"] == [made]
    changed = ok(reader.v1("POST", f"/vector_stores/{made['id']}", json={"name": "books"}))
    assert (changed["name"], changed["metadata"]) == ("books", {"team": "a"})
    assert events(reader) == [keys.change_key(reader.account_id, made["id"], file)]
    deleted = ok(reader.v1("DELETE", f"/vector_stores/{made['id']}"))
    assert deleted == {"id": made["id"], "deleted": True, "object": "vector_store.deleted"}
    assert keys.change_key(reader.account_id, made["id"]) in events(reader)
    for method in ("GET", "DELETE"):
        assert refused(reader.v1(method, f"/vector_stores/{made['id']}")) == (404, "not_found")
    assert reader.v1("GET", f"/files/{file}").status_code == 200


def test_stores_are_paged_in_both_orders(reader: Reader) -> None:
    made = [reader.store_of(name=str(number)) for number in range(5)]
    for order, wanted in (("asc", made), ("desc", made[::-1])):
        first = ok(reader.v1("GET", f"/vector_stores?limit=3&order={order}"))
        rest = ok(reader.v1("GET", f"/vector_stores?limit=3&order={order}&after={first['last_id']}"))
        assert (first["has_more"], rest["has_more"]) == (True, False)
        assert [store["id"] for store in [*first["data"], *rest["data"]]] == wanted


def test_a_file_is_attached_once_and_detached_with_an_event_each(reader: Reader) -> None:
    from sluice.wiring import stores

    file, store = reader.file(), reader.store_of()
    path = f"/vector_stores/{store}/files"
    attached = ok(reader.v1("POST", path, json={"file_id": file, "attributes": {"year": 2024, "draft": False}}))
    assert (attached["object"], attached["id"], attached["status"]) == ("vector_store.file", file, "in_progress")
    again = ok(reader.v1("POST", path, json={"file_id": file, "attributes": {}}))
    assert again["attributes"] == {"year": 2024, "draft": False}, "it is there already"
    stores.vector_store_store().set_attachment(reader.account_id, store, file, "failed", error="It has no text.")
    told = ok(reader.v1("GET", f"{path}/{file}"))
    assert (told["status"], told["last_error"]) == ("failed", {"code": "invalid_file", "message": "It has no text."})
    assert ok(reader.v1("GET", f"/vector_stores/{store}"))["file_counts"]["failed"] == 1
    assert ok(reader.v1("DELETE", f"{path}/{file}"))["object"] == "vector_store.file.deleted"
    assert refused(reader.v1("GET", f"{path}/{file}")) == (404, "not_found")
    assert refused(reader.v1("DELETE", f"{path}/{file}")) == (404, "not_found")
    assert reader.v1("GET", f"/files/{file}").status_code == 200


def test_the_files_of_a_store_are_paged_and_filtered_by_status(reader: Reader) -> None:
    from sluice.wiring import stores

    files = [reader.file(str(number), f"{number}.txt") for number in range(4)]
    store = reader.store_of(*files)
    stores.vector_store_store().set_attachment(reader.account_id, store, files[0], "completed")

    def listed(query: str) -> list[str]:
        return [one["id"] for one in ok(reader.v1("GET", f"/vector_stores/{store}/files?{query}"))["data"]]

    assert listed("") == files[::-1]
    assert listed("order=asc&limit=2") == files[:2]
    assert listed(f"order=asc&after={files[1]}") == files[2:]
    assert listed(f"order=asc&before={files[1]}") == files[:1]
    assert listed("filter=completed") == files[:1]
    assert listed("filter=in_progress&limit=1") == files[3:]


def test_a_batch_is_attached_in_one_call_and_its_status_is_shown(reader: Reader) -> None:
    from sluice.wiring import stores

    files, store = [reader.file(str(number)) for number in range(3)], reader.store_of()
    path = f"/vector_stores/{store}/file_batches"
    made = ok(reader.v1("POST", path, json={"file_ids": files, "attributes": {"kind": "a"}}))
    assert (made["object"], made["status"], made["file_counts"]["in_progress"]) == (
        "vector_store.files_batch",
        "in_progress",
        3,
    )
    for file, status in zip(files, ("completed", "failed", "completed"), strict=True):
        stores.vector_store_store().set_attachment(reader.account_id, store, file, status)
    told = ok(reader.v1("GET", f"{path}/{made['id']}"))
    assert told["status"] == "completed"
    assert told["file_counts"] == {"in_progress": 0, "completed": 2, "failed": 1, "cancelled": 0, "total": 3}
    assert len(ok(reader.v1("GET", f"{path}/{made['id']}/files"))["data"]) == 3
    each = {"files": [{"file_id": files[0], "attributes": {"kind": "b"}}]}
    assert ok(reader.v1("POST", path, json=each))["file_counts"]["total"] == 1
    ok(reader.v1("DELETE", f"/vector_stores/{store}"))
    assert list(stores.blobs().keys(f"{keys.BATCHES}/{reader.account_id}/")) == []


def test_a_search_finds_passages_with_their_files(reader: Reader) -> None:
    file = reader.file()
    store = reader.store_of(file)
    page = search(reader, store)
    assert page["object"] == "vector_store.search_results.page"
    assert page["search_query"] == ["Where is tea grown?"]
    assert page["data"] == [
        {
            "file_id": file,
            "filename": "tea.txt",
            "score": 1.0,
            "attributes": {},
            "content": [{"type": "text", "text": TEA.split("\n\n")[0]}],
        }
    ]
    assert (page["has_more"], page["next_page"]) == (False, None)
    assert search(reader, store, "xyzzy")["data"] == []
    both = search(reader, store, ["Where is it grown?", "When does the harvest begin?"])
    assert texts(both) == TEA.split("\n\n")
    assert texts(search(reader, store, ["grown", "harvest"], max_num_results=1)) == TEA.split("\n\n")[:1]


def test_a_search_is_counted_and_takes_no_tokens(reader: Reader) -> None:
    store = reader.store_of()
    search(reader, store)
    newest = reader.log()[0]
    assert (newest["endpoint"], newest["status"], newest["total_tokens"]) == ("vector_stores", 200, 0)


def test_results_are_filtered_by_attributes_and_by_score(reader: Reader) -> None:
    files = [reader.file(f"Paper {year} is about tea plants.", f"{year}.txt") for year in (2022, 2023, 2024)]
    store = reader.store_of()
    for file, year in zip(files, (2022, 2023, 2024), strict=True):
        body = {"file_id": file, "attributes": {"year": year, "open": year != 2023}}
        ok(reader.v1("POST", f"/vector_stores/{store}/files", json=body))

    def found(**more: Any) -> list[str]:
        return sorted(one["filename"] for one in search(reader, store, "paper plants", **more)["data"])

    since = {"type": "gte", "key": "year", "value": 2023}
    is_open = {"type": "eq", "key": "open", "value": True}
    assert found() == ["2022.txt", "2023.txt", "2024.txt"]
    assert found(filters=since) == ["2023.txt", "2024.txt"]
    assert found(filters={"type": "and", "filters": [since, is_open]}) == ["2024.txt"]
    assert found(filters={"type": "or", "filters": [since, is_open]}) == ["2022.txt", "2023.txt", "2024.txt"]
    assert found(ranking_options={"score_threshold": 2.5}) == []


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("", {"name": 7}, "name"),
        ("", {"metadata": {str(number): "x" for number in range(17)}}, "metadata"),
        ("", {"metadata": {"k": "v" * 513}}, "metadata.k"),
        ("", {"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after.anchor"),
        ("", {"expires_after": {"anchor": "last_active_at", "days": 366}}, "expires_after.days"),
        ("/{store}/files", {}, "file_id"),
        ("/{store}/files", {"file_id": "file_x", "attributes": {"a": [1]}}, "attributes.a"),
        ("/{store}/file_batches", {}, None),
        ("/{store}/file_batches", {"file_ids": ["file_x"] * 101}, "file_ids"),
        ("/{store}/search", {}, "query"),
        ("/{store}/search", {"query": ""}, "query"),
        ("/{store}/search", {"query": []}, "query"),
        ("/{store}/search", {"query": "x", "max_num_results": 51}, "max_num_results"),
        ("/{store}/search", {"query": "x", "filters": {"type": "like", "key": "a", "value": 1}}, "filters"),
    ],
)
def test_a_body_of_the_wrong_shape_is_a_400_and_changes_nothing(
    reader: Reader, path: str, body: dict[str, Any], param: str | None
) -> None:
    store = reader.store_of()
    taken = len(reader.log())
    answer = reader.v1("POST", "/vector_stores" + path.format(store=store), json=body)
    assert answer.status_code == 400
    told = answer.json["error"]["param"]  # type: ignore[index]
    assert told == param or (param is not None and str(told).startswith(param)), answer.json
    assert len(reader.log()) == taken


def test_filters_nested_too_deeply_are_refused(reader: Reader) -> None:
    store, wanted = reader.store_of(), {"type": "eq", "key": "a", "value": 1}
    for _ in range(4):
        wanted = {"type": "and", "filters": [wanted]}
    answer = reader.v1("POST", f"/vector_stores/{store}/search", json={"query": "x", "filters": wanted})
    assert answer.status_code == 400


def test_unknown_files_make_no_store_and_no_attachment(reader: Reader) -> None:
    unknown = "file_" + "0" * 26
    assert refused(reader.v1("POST", "/vector_stores", json={"file_ids": [unknown]})) == (404, "not_found")
    assert ok(reader.v1("GET", "/vector_stores"))["data"] == []
    store = reader.store_of()
    for body in ({"file_id": unknown}, {"file_id": "nonsense"}, {"file_id": "file_/../x"}):
        assert refused(reader.v1("POST", f"/vector_stores/{store}/files", json=body)) == (404, "not_found")
    assert events(reader) == []


def test_an_unavailable_search_is_a_503_and_settled(reader: Reader) -> None:
    store = reader.store_of()
    reader.search.down = True
    answer = reader.v1("POST", f"/vector_stores/{store}/search", json={"query": "tea"})
    assert refused(answer) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert (reader.log()[0]["status"], reader.grant().leases) == (503, {})


# --- isolation


def test_attributes_are_changed_and_filtered_by_at_once(reader: Reader) -> None:
    file = reader.file()
    store = reader.store_of(file)
    path = f"/vector_stores/{store}/files/{file}"
    wanted = {"year": 2026.5, "ok": True, "place": "Darjeeling"}
    changed = ok(reader.v1("POST", path, json={"attributes": wanted}))
    assert changed == {**ok(reader.v1("GET", path)), "attributes": wanted}
    is_year = {"type": "eq", "key": "year", "value": 2026.5}
    assert search(reader, store, filters=is_year)["data"][0]["attributes"] == wanted
    assert ok(reader.v1("POST", path, json={"attributes": {}}))["attributes"] == {}
    assert search(reader, store, filters=is_year)["data"] == []
    too_many = {str(number): 1 for number in range(17)}
    for wrong in ({}, {"attributes": None}, {"attributes": {"a": [1]}}, {"attributes": too_many}):
        assert reader.v1("POST", path, json=wrong).status_code == 400, wrong
    reader.v1("DELETE", path)
    assert refused(reader.v1("POST", path, json={"attributes": wanted})) == (404, "not_found")
    assert reader.v1("GET", path).status_code == 404, "a change makes no attachment"


def test_the_text_of_a_file_is_given_in_pages_once_it_was_read(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.wiring import stores

    file = reader.file()
    path = f"/vector_stores/{reader.store_of(file)}/files/{file}/content"
    assert refused(reader.v1("GET", path)) == (409, "conflict")
    blocks = json.dumps([{"level": 1, "text": "Tea"}, {"level": 0, "text": TEA}]).encode()
    stores.blobs().put(keys.text_key(reader.account_id, file), blocks)
    whole = {"object": "vector_store.file_content.page", "has_more": False, "next_page": None}
    assert ok(reader.v1("GET", path)) == {**whole, "data": [{"type": "text", "text": f"Tea\n\n{TEA}"}]}
    monkeypatch.setattr(vector_store_answers, "PAGE_CHARACTERS", 30)
    page, text = "0", ""
    while page is not None:
        found = ok(reader.v1("GET", f"{path}?page={page}"))
        assert found["has_more"] is (found["next_page"] is not None) and len(found["data"][0]["text"]) <= 30
        text, page = text + found["data"][0]["text"], found["next_page"]
    assert text == f"Tea\n\n{TEA}"
    assert ok(reader.v1("GET", f"{path}?page=9")) == {**whole, "data": []}
    assert reader.v1("GET", f"{path}?page=-1").status_code == 400
    left = reader.file()
    assert refused(reader.v1("GET", path.replace(file, left))) == (404, "not_found"), "it is in no vector store"


def test_a_cancelled_batch_keeps_what_is_searchable_and_the_rest_is_not_indexed(reader: Reader) -> None:
    from sluice.wiring import stores

    done, waiting = reader.file(), reader.file()
    store = reader.store_of()
    batch = ok(reader.v1("POST", f"/vector_stores/{store}/file_batches", json={"file_ids": [done, waiting]}))
    rows = stores.vector_store_store()
    rows.set_attachment(reader.account_id, store, done, "completed", usage_bytes=9)
    path = f"/vector_stores/{store}/file_batches/{batch['id']}"
    for _ in range(2):
        cancelled = ok(reader.v1("POST", f"{path}/cancel"))
        assert (cancelled["status"], cancelled["object"]) == ("cancelled", "vector_store.files_batch")
        counts = {"in_progress": 0, "completed": 1, "failed": 0, "cancelled": 1, "total": 2}
        assert cancelled["file_counts"] == counts and ok(reader.v1("GET", path)) == cancelled
    assert not rows.set_attachment(reader.account_id, store, waiting, "completed", usage_bytes=9)
    one = ok(reader.v1("GET", f"/vector_stores/{store}/files/{waiting}"))
    assert (one["status"], one["last_error"]) == ("cancelled", None)
    assert ok(reader.v1("GET", f"/vector_stores/{store}"))["file_counts"]["cancelled"] == 1
    assert refused(reader.v1("POST", f"/vector_stores/{store}/file_batches/batch_x/cancel")) == (404, "not_found")


def test_a_plain_search_has_no_floor_and_an_answer_from_documents_has(reader: Reader) -> None:
    store = reader.store_of(reader.file())
    search(reader, store)
    reader.ask(retrieval={"vector_store_ids": [store]})
    assert [asked.floored for asked in reader.search.asked] == [False, True]


def test_ids_of_another_account_are_not_found_anywhere(reader: Reader, other: Reader) -> None:
    file = reader.file()
    store = reader.store_of(file)
    batch = ok(reader.v1("POST", f"/vector_stores/{store}/file_batches", json={"file_ids": [file]}))["id"]
    own_file, own = other.file("mine"), other.store_of()
    calls: list[tuple[str, str, dict[str, Any] | None]] = [
        ("GET", f"/vector_stores/{store}", None),
        ("POST", f"/vector_stores/{store}", {"name": "stolen"}),
        ("DELETE", f"/vector_stores/{store}", None),
        ("POST", f"/vector_stores/{store}/search", {"query": "tea"}),
        ("GET", f"/vector_stores/{store}/files", None),
        ("POST", f"/vector_stores/{store}/files", {"file_id": own_file}),
        ("POST", f"/vector_stores/{own}/files", {"file_id": file}),
        ("GET", f"/vector_stores/{store}/files/{file}", None),
        ("GET", f"/vector_stores/{own}/files/{file}", None),
        ("DELETE", f"/vector_stores/{store}/files/{file}", None),
        ("POST", f"/vector_stores/{store}/file_batches", {"file_ids": [own_file]}),
        ("POST", f"/vector_stores/{own}/file_batches", {"file_ids": [own_file, file]}),
        ("GET", f"/vector_stores/{store}/file_batches/{batch}", None),
        ("GET", f"/vector_stores/{own}/file_batches/{batch}", None),
        ("GET", f"/vector_stores/{store}/file_batches/{batch}/files", None),
        ("POST", "/vector_stores", {"file_ids": [file]}),
    ]
    before = [ok(reader.v1("GET", path)) for path in (f"/vector_stores/{store}", f"/files/{file}")]
    for method, path, body in calls:
        answer = other.v1(method, path, **({} if body is None else {"json": body}))
        assert refused(answer) == (404, "not_found"), (method, path)
        assert "tea" not in answer.get_data(as_text=True)
    assert [ok(reader.v1("GET", path)) for path in (f"/vector_stores/{store}", f"/files/{file}")] == before
    assert other.search.asked == []


def test_a_passage_of_another_accounts_file_in_a_damaged_index_is_not_shown(reader: Reader, other: Reader) -> None:
    secret = reader.file("The secret of the tea is salt.")
    theirs, own = reader.store_of(secret), other.store_of(other.file("Tea is a plant."))
    other.search.extra = [
        Passage(theirs, secret, "tea.txt", 0, "The secret of the tea is salt.", 9.0),
        Passage(own, secret, "tea.txt", 0, "The secret of the tea is salt.", 9.0),
    ]
    assert texts(search(other, own, "secret tea plant")) == ["Tea is a plant."]


def test_a_deleted_or_detached_file_is_not_found_although_the_index_still_has_it(reader: Reader) -> None:
    file = reader.file()
    store = reader.store_of(file)
    reader.search.extra = [Passage(store, file, "tea.txt", 0, "Tea is grown on hills.", 9.0)]
    assert "Tea is grown on hills." in texts(search(reader, store))
    ok(reader.v1("DELETE", f"/vector_stores/{store}/files/{file}"))
    assert texts(search(reader, store)) == []
    ok(reader.v1("POST", f"/vector_stores/{store}/files", json={"file_id": file}))
    ok(reader.v1("DELETE", f"/files/{file}"))
    assert texts(search(reader, store)) == []
    assert ok(reader.v1("GET", f"/vector_stores/{store}"))["file_counts"]["total"] == 0


def test_a_store_expires_after_its_last_use_and_a_use_puts_it_off(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sluice.wiring.gateway import gateway

    expiry = {"anchor": "last_active_at", "days": 2}
    made = ok(reader.v1("POST", "/vector_stores", json={"expires_after": expiry, "file_ids": [reader.file()]}))
    path, day_s = f"/vector_stores/{made['id']}", 86_400
    assert (made["expires_after"], made["expires_at"]) == (expiry, made["last_active_at"] + 2 * day_s)
    real = gateway().now_ms()

    def later(days: float) -> None:
        monkeypatch.setattr("sluice.http.documents.files.now_ms", lambda: real + int(days * day_s * 1000))

    later(1.9)
    search(reader, made["id"])
    assert ok(reader.v1("GET", path))["expires_at"] == pytest.approx(real / 1000 + 3.9 * day_s, abs=5)
    later(3.8)
    assert ok(reader.v1("POST", path, json={"name": "kept"}))["expires_after"] == expiry
    later(5.9)
    assert ok(reader.v1("GET", path))["status"] == "expired"
    for call, body in (("/search", {"query": "tea"}), ("/files", {"file_id": reader.file()}), ("", {"name": "x"})):
        answer = reader.v1("POST", path + call, json=body)
        assert refused(answer) == (404, "not_found") and "expired" in answer.json["error"]["message"]  # type: ignore[index]
    later(3.9)
    assert ok(reader.v1("POST", path, json={"expires_after": None}))["expires_at"] is None
    later(999)
    assert ok(reader.v1("GET", path))["status"] == "in_progress"


def test_my_documents_leave_expired_stores_out_and_the_pages_own_comes_back_with_an_upload(reader: Reader) -> None:
    from sluice.domain.documents.document import DAY_MS
    from sluice.domain.documents.uploads import own_store_id
    from sluice.wiring import stores
    from sluice.wiring.documents import my_documents
    from sluice.wiring.gateway import gateway

    now_ms, rows, own = gateway().now_ms(), stores.vector_store_store(), own_store_id(reader.account_id)
    my_documents().keep(reader.account_id, "a.txt", b"tea", now_ms)
    made = ok(reader.v1("POST", "/vector_stores", json={}))["id"]
    for store in (own, made):
        ok(
            reader.v1(
                "POST", f"/vector_stores/{store}", json={"expires_after": {"anchor": "last_active_at", "days": 1}}
            )
        )

    def searched(days: float) -> list[str]:
        return my_documents().searched(reader.account_id, now_ms + int(days * DAY_MS))

    assert searched(0) == searched(0.9) == searched(1.8) == [own, made], "a search counts as a use"
    assert searched(2.9) == []
    my_documents().keep(reader.account_id, "b.txt", b"tea", now_ms + 3 * DAY_MS)
    assert searched(3) == [own]
    rows.used(reader.account_id, "vs_gone", now_ms)
    assert rows.get(reader.account_id, "vs_gone") is None


def test_answers_from_an_expired_store_are_refused(reader: Reader) -> None:
    from sluice.wiring import stores

    store = reader.store_of(reader.file())
    ok(reader.v1("POST", f"/vector_stores/{store}", json={"expires_after": {"anchor": "last_active_at", "days": 1}}))
    stores.vector_store_store().used(reader.account_id, store, 1_000)
    assert refused(reader.ask(retrieval={"vector_store_ids": [store]})) == (404, "not_found")


def test_an_answer_from_a_store_counts_as_a_use(reader: Reader) -> None:
    from sluice.wiring import stores
    from sluice.wiring.gateway import gateway

    store, rows = reader.store_of(reader.file()), stores.vector_store_store()
    ok(reader.v1("POST", f"/vector_stores/{store}", json={"expires_after": {"anchor": "last_active_at", "days": 1}}))
    hours_ago_ms = gateway().now_ms() - 3 * 3_600_000
    rows.used(reader.account_id, store, hours_ago_ms)
    ok(reader.ask(retrieval={"vector_store_ids": [store]}))
    kept = rows.get(reader.account_id, store)
    assert kept is not None and kept.last_active_ms > hours_ago_ms
