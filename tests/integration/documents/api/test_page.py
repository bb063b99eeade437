"""The documents page without JavaScript: add, read, search, replace, delete; and isolation between accounts."""

import json
from io import BytesIO
from typing import Any

import pytest

from sluice.domain.accounts.account import Account
from sluice.domain.documents.uploads import own_store_id
from tests.integration.documents.api.conftest import BOUNDARY, TEA, Library, logged_in, multipart
from tests.integration.pages.browser import OWN, Browser, Page

PAGE = "/my/documents"


def add(browser: Browser, text: str | bytes = TEA, name: str = "tea.txt") -> Page:
    body = text.encode() if isinstance(text, str) else text
    answer = send(browser, browser.get(PAGE).form(PAGE).fields["form_token"], body, name)
    return browser.get(answer.answer.headers["Location"]) if answer.status == 303 else answer


def send(browser: Browser, form_token: str, body: bytes, name: str, headers: dict[str, str] = OWN) -> Page:
    data = multipart({"form_token": form_token}, name, body)
    with browser.client.post(
        PAGE, data=data, content_type=f"multipart/form-data; boundary={BOUNDARY}", headers=headers
    ) as answer:
        return Page(answer)  # type: ignore[arg-type]


def links(page: Page) -> list[str]:
    return [link for link in page.links if link.startswith(PAGE + "/file_")]


def read(account: Account) -> None:
    """Does the part of `ingestion` that the page shows."""
    from sluice.domain.documents import keys
    from sluice.wiring import documents, stores

    for document in documents.my_documents().all(account.account_id):
        file = document.file
        body = stores.blobs().get(keys.file_key(account.account_id, file.file_id)) or b""
        blocks = [{"level": 0, "text": text} for text in body.decode(errors="replace").split("\n\n")]
        stores.blobs().put(keys.text_key(account.account_id, file.file_id), json.dumps(blocks).encode())
        stores.file_store().set_status(account.account_id, file.file_id, "processed")
        own = own_store_id(account.account_id)
        stores.vector_store_store().set_attachment(account.account_id, own, file.file_id, "completed")


def test_a_document_is_added_read_and_deleted(member: Browser, ann: Account) -> None:
    assert "No documents yet" in member.get(PAGE).text
    added = add(member)
    assert added.status == 200 and "Uploaded." in added.text
    assert "tea.txt" in added.text and "reading…" in added.text and "of 6.0 MiB used" in added.text
    read(ann)
    (link,) = links(member.get(PAGE))
    one = member.get(link)
    assert "ready" in one.text and "The harvest begins in March." in one.text
    gone = member.submit(one, f"{link}/delete")
    assert "The document is deleted." in gone.text and links(gone) == []
    assert member.get(link).status == 404


def test_a_search_shows_passages_with_scores_and_where_they_are(member: Browser, ann: Account) -> None:
    add(member)
    read(ann)
    found = member.get(PAGE + "/search?q=When+is+the+harvest%3F")
    assert "1 passage, best first" in found.text
    assert "Passage 2, relevance 1.00" in found.text and "The harvest begins in March." in found.text
    (link,) = links(found)
    assert link.endswith("#passage-1")
    assert "passage-0" in [has.get("id") for _, has in member.get(link.split("#")[0]).tags]
    assert "No relevant information was found" in member.get(PAGE + "/search?q=Faust").text
    assert "best first" not in member.get(PAGE + "/search").text


def test_a_file_that_could_not_be_read_says_why(member: Browser, ann: Account) -> None:
    from sluice.wiring import documents, stores

    add(member)
    file = documents.my_documents().all(ann.account_id)[0].file
    stores.file_store().set_status(ann.account_id, file.file_id, "error", "It is no text.")
    page = member.get(PAGE)
    assert "couldn’t be read" in page.text and "It is no text." in page.text


def test_the_same_name_replaces_and_the_same_content_changes_nothing(member: Browser, ann: Account) -> None:
    from sluice.wiring import stores

    add(member)
    (first,) = links(member.get(PAGE))
    add(member)
    assert links(member.get(PAGE)) == [first]
    add(member, "Coffee is grown elsewhere.")
    (second,) = links(member.get(PAGE))
    assert second != first and member.get(first).status == 404
    assert stores.file_store().held_bytes(ann.account_id) == len("Coffee is grown elsewhere.")


def test_the_pages_uploads_and_searches_are_counted_like_api_calls(
    member: Browser, library: Library, ann: Account
) -> None:
    from sluice.wiring import stores

    add(member)
    member.get(PAGE + "/search?q=tea")
    records, _ = stores.ledger_reader().page(ann.account_id, limit=10)
    assert sorted((one.endpoint, one.token_id, one.total_tokens) for one in records) == [
        ("files", "playground", 0),
        ("vector_stores", "playground", 0),
    ]
    library.store.client.update_item(
        TableName=library.store.prefix + "grants",
        Key={"account_id": {"S": ann.account_id}},
        UpdateExpression="SET limits.rpm = :none",
        ExpressionAttributeValues={":none": {"N": "0"}},
    )
    for refused in (add(member, "more", "more.txt"), member.get(PAGE + "/search?q=tea")):
        assert refused.status == 429


@pytest.mark.parametrize(
    ("size", "name", "status", "told"),
    [
        (4 * 1024 * 1024 + 1, "big.bin", 413, "4 MiB at most"),
        (4 * 1024 * 1024 + 200_000, "bigger.bin", 200, "A file may have at most 4 MiB."),
        (1, "", 422, "Choose a file first."),
        (1, "..", 422, "The file needs a name."),
    ],
)
def test_the_page_shows_why_a_file_was_refused(member: Browser, size: int, name: str, status: int, told: str) -> None:
    answer = add(member, b"x" * size, name)
    assert answer.status == status
    assert told in answer.text and "#field-file" in answer.links
    assert links(member.get(PAGE)) == []


def test_several_files_are_added_at_once_and_a_refused_one_is_named(member: Browser) -> None:
    token = member.get(PAGE).form(PAGE).fields["form_token"]
    sent = [(BytesIO(b"one"), "one.txt"), (BytesIO(b"two"), "two.txt"), (BytesIO(b"3"), "..")]
    refused = member.post(PAGE, {"form_token": token, "file": sent})
    assert refused.status == 422 and "..: The file needs a name." in refused.text
    assert len(links(refused)) == 2


def test_a_full_account_is_shown_its_used_storage(member: Browser) -> None:
    add(member, b"x" * (4 * 1024 * 1024), "a.bin")
    refused = add(member, b"x" * (3 * 1024 * 1024), "b.bin")
    assert refused.status == 413 and "4.0 MiB of the 6.0 MiB" in refused.text
    assert len(links(refused)) == 1


def test_nothing_of_another_account_is_shown_or_found(member: Browser, library: Library, ann: Account) -> None:
    add(member)
    read(ann)
    (link,) = links(member.get(PAGE))
    bob = logged_in(library, library.world.account())
    assert "No documents yet" in bob.get(PAGE).text
    for path in (link, link + "/content"):
        assert bob.get(path).status == 404
    form: dict[str, Any] = bob.get(PAGE).form(PAGE).fields
    assert bob.post(f"{link}/delete", form).status == 404
    assert "No relevant information" in bob.get(PAGE + "/search?q=tea+harvest").text
    assert member.get(link).status == 200


def test_uploaded_html_is_shown_as_text_and_served_as_a_download(member: Browser, ann: Account) -> None:
    attack = "<script>alert('tea')</script>\n\n<img src=x onerror=alert(1)>"
    add(member, attack, "<b>page</b>.html")
    read(ann)
    (link,) = links(member.get(PAGE))
    for page in (member.get(PAGE), member.get(link), member.get(PAGE + "/search?q=alert")):
        assert page.status == 200
        assert not [tag for tag, has in page.tags if tag == "b" or has.get("src") == "x"]
        assert all(
            has["src"].startswith(("/static/words.js?", "/static/documents.js?"))
            for tag, has in page.tags
            if tag == "script"
        )
        scripts = [part for part in page.answer.headers["Content-Security-Policy"].split("; ") if "script" in part]
        assert scripts in ([], ["script-src 'self'"])
    assert attack.split("\n")[0] in member.get(link).text
    content = member.client.get(link + "/content")
    assert content.mimetype == "application/octet-stream"
    assert content.headers["Content-Disposition"].startswith("attachment;")


def test_a_stranger_is_sent_to_the_login_and_back(library: Library) -> None:
    stranger = Browser(library.world.app.test_client())
    for path in (PAGE, PAGE + "/search?q=x", PAGE + "/file_x"):
        answer = stranger.get(path)
        assert (answer.status, answer.answer.headers["Location"]) == (303, "/login?next=documents")


def test_a_form_of_another_site_changes_nothing(member: Browser) -> None:
    add(member)
    (link,) = links(member.get(PAGE))
    form = member.get(PAGE).form(PAGE).fields
    evil = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert send(member, form["form_token"], b"x", "x.txt", evil).status == 403
    assert member.post(f"{link}/delete", form, headers=evil).status == 403
    assert send(member, "", b"x", "x.txt").status == 403
    assert links(member.get(PAGE)) == [link]
