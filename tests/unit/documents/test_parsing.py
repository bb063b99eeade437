"""The text of each kind of file; a hostile file only fails, with a reason and in bounded time."""

import io
import json
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from docx import Document
from PIL import Image

from sluice.adapters.documents.parsing import sandbox
from sluice.domain.documents.document import File, Unreadable
from sluice.domain.documents.passages import Block, chunks_of
from sluice.domain.errors import Unavailable
from tests.unit.documents.pdfs import pdf, scanned
from tests.waiting import eventually

pytestmark = pytest.mark.slow  # seconds together: not in `make test-fast`

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def _own_servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sandbox, "_idle", [])
    yield
    for server in sandbox._idle:
        server.end()


def parse(filename: str, body: bytes, **limits: float) -> list[Block]:
    file = File("usr_a", "file_a", filename, "assistants", len(body), "", 0)
    return list(sandbox.parse(file, body, **limits))


def reason(filename: str, body: bytes, **limits: float) -> str:
    with pytest.raises(Unreadable) as refused:
        parse(filename, body, **limits)
    return str(refused.value)


def docx(**parts: str) -> bytes:
    document = Document()
    document.add_heading("Handbook", level=1)
    document.add_paragraph("Employees greet visitors.")
    table = document.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "Desk", "Oak"
    out = io.BytesIO()
    document.save(out)
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return out.getvalue()


# --- each kind


def test_text_keeps_its_paragraphs() -> None:
    assert parse("a.txt", b"One.\n\nTwo.\r\nStill two.") == [Block(0, "One."), Block(0, "Two.\nStill two.")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp932", "euc_jp"])
def test_japanese_text_is_read_in_its_encodings(encoding: str) -> None:
    text = "年次有給休暇は年間二十日です。申請は勤怠システムで三日前までに行ってください。" * 5
    assert parse("a.txt", text.encode(encoding)) == [Block(0, text)]


def test_markdown_gives_headings_but_not_those_of_code() -> None:
    body = b"---\ntitle: x\n---\n# One #\ntext\n```\n# no heading\n\n```\n\nTwo\n---\nrest"
    assert parse("a.md", body) == [
        Block(1, "One"),
        Block(0, "text\n```\n# no heading\n\n```"),
        Block(2, "Two"),
        Block(0, "rest"),
    ]


def test_html_gives_text_only() -> None:
    body = b"""<!DOCTYPE html><html><head><title>T</title><style>p{}</style></head><body>
    <h2>Fish &amp; chips</h2><script>alert('never')</script><p>Served <b>hot</b>.<br>With salt.</p>
    <noscript>never</noscript><div>Last<!-- never --></div></body></html>"""
    assert parse("a.html", body) == [
        Block(2, "Fish & chips"),
        Block(0, "Served hot."),
        Block(0, "With salt."),
        Block(0, "Last"),
    ]


def test_pdf_gives_the_text_of_its_pages() -> None:
    assert [block.text for block in parse("a.pdf", pdf(["The first page.", "The second page."]))] == [
        "The first page.",
        "The second page.",
    ]


def test_docx_gives_headings_paragraphs_and_rows() -> None:
    assert parse("a.docx", docx()) == [
        Block(1, "Handbook"),
        Block(0, "Employees greet visitors."),
        Block(0, "Desk | Oak"),
    ]


def test_the_kind_of_a_file_follows_from_its_content_and_not_its_name() -> None:
    assert [block.text for block in parse("notes.txt", pdf(["Named wrongly."]))] == ["Named wrongly."]
    assert parse("page.txt", b"<!doctype html><p>Text</p>") == [Block(0, "Text")]


# --- unreadable files


@pytest.mark.parametrize(
    ("filename", "body", "why"),
    [
        ("empty.txt", b"", "empty"),
        ("blank.md", b" \n\t\n", "empty"),
        ("program.txt", b"\x7fELF\x02\x01\x01\x00\x00\x00", "no text"),
        ("noise.txt", bytes(range(256)) * 40, "no text"),
        ("old.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 600, "older Office"),
        ("broken.pdf", b"%PDF-1.7\nnothing of the sort", "damaged"),
        ("broken.docx", b"PK\x03\x04broken", "damaged"),
        ("only-script.html", b"<html><body><script>1</script></body></html>", "no text"),
    ],
)
def test_an_unreadable_file_is_refused_with_the_reason(filename: str, body: bytes, why: str) -> None:
    assert why in reason(filename, body)


def test_a_zip_that_is_not_a_docx_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "x")
    assert "no DOCX" in reason("a.docx", out.getvalue())


# --- hostile files


def test_a_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = docx(**{"word/bomb.xml": "0" * (80 * MIB)})
    assert len(bomb) < 4 * MIB
    assert "Unpacked" in reason("bomb.docx", bomb)


def test_a_zip_bomb_with_a_false_size_is_not_unpacked() -> None:
    bomb = docx(**{"word/bomb.xml": "0" * (80 * MIB)})
    lying = bomb.replace((80 * MIB).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    assert lying != bomb
    try:
        assert parse("bomb.docx", lying)
    except Unreadable as refused:
        assert str(refused)


def test_nested_xml_entities_are_not_expanded() -> None:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    laughs = f'<!DOCTYPE x [<!ENTITY l0 "ha">{entities}]>'
    source = zipfile.ZipFile(io.BytesIO(docx()))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for item in source.infolist():
            body = source.read(item)
            if item.filename == "word/document.xml":
                head, _, rest = body.decode().partition("?>")
                body = f"{head}?>{laughs}{rest.replace('Employees', '&l11;')}".encode()
            archive.writestr(item.filename, body)
    try:
        assert sum(len(block.text) for block in parse("laughs.docx", out.getvalue())) < 10_000
    except Unreadable as refused:
        assert str(refused)


@pytest.mark.slow
def test_a_pdf_of_ten_thousand_pages_is_refused() -> None:
    assert "10000 pages" in reason("many.pdf", pdf(["x"] * 10_000))


@pytest.mark.slow
def test_deep_html_is_read_to_its_end() -> None:
    deep = b"<div>" * 200_000 + b"treasure" + b"</div>" * 200_000
    assert parse("deep.html", b"<html>" + deep) == [Block(0, "treasure")]


def test_four_mebibytes_of_one_word_are_cut_into_passages() -> None:
    blocks = parse("word.txt", b"x" * (4 * MIB))
    chunks = list(chunks_of(blocks))
    assert sum(len(one.text) for one in chunks) >= 4 * MIB
    assert max(len(one.text) for one in chunks) < 2_000


@pytest.mark.slow
def test_too_much_text_is_refused() -> None:
    document, out = Document(), io.BytesIO()
    document.add_paragraph("word " * 2_000_000)
    document.save(out)
    assert len(out.getvalue()) < MIB
    assert "million characters" in reason("much.docx", out.getvalue())


# --- the process around the parser


def test_a_parser_that_hangs_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    _replace_worker(monkeypatch, "import time; time.sleep(60)")
    assert "longer than 1 seconds" in reason("a.txt", b"text", wall_seconds=1.0)


@pytest.mark.parametrize(
    "code", ["import os; os.abort()", "import os; os._exit(3)", "print('no json')", "raise ValueError"]
)
def test_a_parser_that_crashes_fails_only_its_file(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    _replace_worker(monkeypatch, code)
    assert "could not be read" in reason("a.txt", b"text")


@pytest.mark.slow
def test_processes_that_the_parser_started_end_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    # A shell, because it starts the child well within the time limit; Python may need seconds for that.
    _replace_worker(monkeypatch, f"sleep 60 & echo $! > '{pid}'; wait", "/bin/sh")
    reason("a.txt", b"text", wall_seconds=5.0)
    _wait_until_ended(int(pid.read_text()))


def _wait_until_ended(pid: int) -> None:
    eventually(lambda: not _runs(pid))  # the signal was sent, but a busy machine may need time


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_the_parsers_memory_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    huge = "plain.read = lambda body: iter([(0, 'x' * (2 << 30))])"
    imports = "import sys; from sluice.adapters.documents.parsing import plain, work"
    work = f"{imports}; {huge}; sys.argv = ['w', 'a.txt']; work.main()"
    _replace_worker(monkeypatch, work)
    assert "memory" in reason("a.txt", b"text")


def test_the_parser_sees_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very secret")
    monkeypatch.setenv("SLUICE_MAIL", "smtp://u:p@h:1")
    _replace_worker(monkeypatch, "import os, json; print(json.dumps({'blocks': [[0, ' '.join(os.environ)]]}))")
    (block,) = parse("a.txt", b"text")
    assert not [name for name in block.text.split() if name.startswith(("AWS_", "SLUICE_"))]


# --- the server that forks them

FOUND = """
import json, sys
from pathlib import Path
def main():
    found = [os.getppid(), os.getcwd(), os.umask(0o0), os.environ.get("LEFT"), getattr(sys, "left", None)]
    found += [[fd for fd in range(64) if Path(f"/dev/fd/{fd}").exists()], sys.stdin.read(), sys.argv[1:]]
    print(json.dumps({"blocks": [[0, json.dumps(found)]]}))
    os.chdir("/tmp"), os.environ.update(LEFT="x"), setattr(sys, "left", 1), os.dup2(1, 9)
work.main = main
"""


def found(filename: str, body: bytes) -> list[Any]:
    (block,) = parse(filename, body)
    return list(json.loads(block.text))


def test_nothing_of_one_file_reaches_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    _replace_server(monkeypatch, FOUND)
    first, second = found("a.txt", b"one"), found("b.txt", b"two")
    assert (first[-2:], second[-2:]) == (["one", ["a.txt"]], ["two", ["b.txt"]])
    assert first[:-2] == second[:-2]  # the server, too: the second began where the first had begun
    assert first[5] == [0, 1, 2]


def test_the_server_has_one_thread_and_no_descriptor_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform != "linux":
        pytest.skip("needs /proc")
    parse("a.docx", docx())
    (server,) = sandbox._idle
    place = Path(f"/proc/{server._process.pid}")
    parse("a.pdf", pdf(["x"]))
    assert len(list((place / "task").iterdir())) == 1
    # The standard ones and the socket, and between files a module's.
    eventually(lambda: len(list((place / "fd").iterdir())) <= 4)


def test_each_of_many_threads_gets_its_own_files_text() -> None:
    with ThreadPoolExecutor(4) as pool:
        texts = [f"text {number}" for number in range(24)]
        assert list(pool.map(lambda text: parse("a.txt", text.encode()), texts)) == [[Block(0, text)] for text in texts]
    assert 1 <= len(sandbox._idle) <= 4


@pytest.mark.parametrize("ends", ["forks.IDLE_SECONDS = 0.05", "forks.MOST_FILES = 1"])
def test_a_server_that_has_ended_is_replaced(monkeypatch: pytest.MonkeyPatch, ends: str) -> None:
    _replace_server(monkeypatch, ends)
    for _ in range(3):
        assert parse("a.txt", b"text") == [Block(0, "text")]
        (server,) = sandbox._idle
        server._process.wait(60)


def test_a_server_that_is_killed_between_files_is_replaced() -> None:
    parse("a.txt", b"text")
    (server,) = sandbox._idle
    server._process.kill()
    assert parse("a.txt", b"text") == [Block(0, "text")]


def test_a_file_that_kills_the_server_fails_alone_and_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with monkeypatch.context() as hostile:
        _replace_worker(hostile, f"echo $$ > '{pid}'; kill -9 $PPID; sleep 60", "/bin/sh")
        assert "ended unexpectedly" in reason("a.txt", b"text")
    _wait_until_ended(int(pid.read_text()))
    assert parse("a.txt", b"text") == [Block(0, "text")]


def test_a_server_that_never_starts_is_an_outage_and_no_fault_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    _replace_server(monkeypatch, "raise SystemExit(1)")
    with pytest.raises(Unavailable):
        parse("a.txt", b"text")


def test_the_parser_ends_with_the_process_that_asked(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    program = f"""
from tests.unit.documents import test_parsing as here
import pytest
here._replace_worker(pytest.MonkeyPatch(), "echo $$ > '{pid}'; sleep 60", "/bin/sh")
here.parse("a.txt", b"text")
"""
    asks = subprocess.Popen([sys.executable, "-c", program])
    eventually(lambda: pid.exists() and pid.read_text())
    asks.kill()
    asks.wait()
    _wait_until_ended(int(pid.read_text()))


def _replace_worker(monkeypatch: pytest.MonkeyPatch, code: str, program: str = sys.executable) -> None:
    _replace_server(monkeypatch, f"work.main = lambda: os.execv({program!r}, [{program!r}, '-c', {code!r}])")


def _replace_server(monkeypatch: pytest.MonkeyPatch, changes: str) -> None:
    server = f"import os\nfrom sluice.adapters.documents.parsing import forks, work\n{changes}\nforks.main()"
    popen = sandbox.subprocess.Popen

    def start(command: list[str], **options: object) -> object:
        return popen([sys.executable, "-c", server, *command[3:]], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(sandbox.subprocess, "Popen", start)


# --- OCR


def _picture() -> bytes:
    out = io.BytesIO()
    Image.new("L", (40, 20), 255).save(out, "JPEG")
    return out.getvalue()


def _engine(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    folder.mkdir()
    engine = folder / "tesseract"
    engine.write_text(f"#!/bin/sh\n{script}\n")
    engine.chmod(engine.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_without_an_ocr_engine_an_image_fails_and_the_reason_names_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "no OCR engine" in reason("scan.jpg", _picture())
    assert "no OCR engine" in reason("scan.pdf", scanned(_picture(), 40, 20))


ENGINE = 'if [ "$1" = --list-langs ]; then echo eng; else cat > /dev/null; echo "Read by the engine with $4"; fi'


@pytest.mark.parametrize(("filename", "body"), [("scan.jpg", _picture()), ("scan.pdf", scanned(_picture(), 40, 20))])
def test_with_an_ocr_engine_images_and_scanned_pages_are_read(
    filename: str, body: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a script in place of tesseract, because the quality of its reading is not tested here."""
    _engine(tmp_path / "bin", monkeypatch, ENGINE)
    assert [block.text for block in parse(filename, body)] == ["Read by the engine with eng"]


def test_an_ocr_engine_that_fails_only_fails_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _engine(tmp_path / "bin", monkeypatch, "exit 1")
    assert "OCR engine could not" in reason("scan.jpg", _picture())
