"""Fuzzing with two accounts: every id of one in every place where the other may put an id."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.documents.api.conftest import Library, Reader, ok
from tests.rounds import rounds

SECRET = "Zanzibar marmalade"
ROUTES: tuple[tuple[str, str, dict[str, Any] | None], ...] = (
    ("GET", "/files/{a}", None),
    ("GET", "/files/{a}/content", None),
    ("DELETE", "/files/{a}", None),
    ("GET", "/files?after={a}&limit=5", None),
    ("GET", "/vector_stores/{a}", None),
    ("POST", "/vector_stores/{a}", {"name": "taken"}),
    ("DELETE", "/vector_stores/{a}", None),
    ("GET", "/vector_stores?after={a}", None),
    ("POST", "/vector_stores", {"file_ids": ["{a}", "{b}"]}),
    ("POST", "/vector_stores/{a}/search", {"query": SECRET}),
    ("GET", "/vector_stores/{a}/files", None),
    ("GET", "/vector_stores/{a}/files?after={b}", None),
    ("POST", "/vector_stores/{a}/files", {"file_id": "{b}"}),
    ("GET", "/vector_stores/{a}/files/{b}", None),
    ("DELETE", "/vector_stores/{a}/files/{b}", None),
    ("POST", "/vector_stores/{a}/file_batches", {"file_ids": ["{b}"]}),
    ("POST", "/vector_stores/{a}/file_batches", {"files": [{"file_id": "{b}"}]}),
    ("GET", "/vector_stores/{a}/file_batches/{b}", None),
    ("GET", "/vector_stores/{a}/file_batches/{b}/files", None),
    ("POST", "/chat/completions", {"retrieval": {"vector_store_ids": ["{a}", "{b}"]}}),
    ("POST", "/responses", {"tools": [{"type": "file_search", "vector_store_ids": ["{a}"]}]}),
)
ASKED: dict[str, dict[str, Any]] = {
    "/chat/completions": {"model": "demo", "messages": [{"role": "user", "content": f"Where is {SECRET}?"}]},
    "/responses": {"model": "demo", "input": f"Where is {SECRET}?", "include": ["file_search_call.results"]},
}


def put_in(shape: Any, names: dict[str, str]) -> Any:
    if isinstance(shape, str):
        return names.get(shape.strip("{}"), shape) if shape.startswith("{") else shape
    if isinstance(shape, list):
        return [put_in(one, names) for one in shape]
    if isinstance(shape, dict):
        return {name: put_in(one, names) for name, one in shape.items()}
    return shape


def state(reader: Reader, kept: dict[str, str]) -> list[Any]:
    store, file = kept["store"], kept["file"]
    paths = (f"/vector_stores/{store}", f"/files/{file}", f"/vector_stores/{store}/files", "/files", "/vector_stores")
    return [ok(reader.v1("GET", path)) for path in paths]


def furnished(reader: Reader, text: str) -> dict[str, str]:
    file = reader.file(text)
    store = reader.store_of(file)
    batch = ok(reader.v1("POST", f"/vector_stores/{store}/file_batches", json={"file_ids": [file]}))["id"]
    return {"file": file, "store": store, "batch": batch}


def test_no_mix_of_ids_shows_or_changes_anything_of_another_account(library: Library) -> None:
    ann, bob = library.reader(), library.reader()
    for someone in (ann, bob):
        library.store.client.update_item(
            TableName=library.store.prefix + "grants",
            Key={"account_id": {"S": someone.account_id}},
            UpdateExpression="SET limits.rpm = :many, limits.tpm = :many",
            ExpressionAttributeValues={":many": {"N": "100000000"}},
        )
    hers, his = furnished(ann, f"The {SECRET} is in the cellar."), furnished(bob, "Tea is a plant.")
    before = state(ann, hers)
    own = [hers[name] for name in hers]
    ids = st.sampled_from(
        [*own, *his.values(), hers["store"] + "/../" + his["store"], "%2e%2e", "_", "vs_" + "0" * 26, "*", "", "é"]
    )

    @settings(
        max_examples=rounds(150, 40),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(route=st.sampled_from(ROUTES), a=ids, b=ids)
    def fuzz(route: tuple[str, str, dict[str, Any] | None], a: str, b: str) -> None:
        method, path, shape = route
        body = None if shape is None else {**ASKED.get(path, {}), **put_in(shape, {"a": a, "b": b})}
        answer = bob.v1(method, path.format(a=a, b=b), **({} if body is None else {"json": body}))
        assert answer.status_code < 500, (route, a, b)
        shown = answer.get_data(as_text=True)
        asked_for = json.dumps(body, ensure_ascii=False)
        assert "cellar" not in shown and (SECRET not in shown or SECRET in asked_for), (route, a, b)
        if answer.status_code == 200 and answer.is_json:
            told = [found for found in own if found in shown]
            assert not told, (route, a, b, shown)
        prompts = json.dumps([call.body for call in bob.upstream.calls[-1:]], ensure_ascii=False)
        assert "cellar" not in prompts

    fuzz()
    assert state(ann, hers) == before
    assert all(hers["store"] not in asked.store_ids for asked in library.search.asked)
    assert all(asked.account_id == bob.account_id for asked in library.search.asked)
