"""The text of each kind of file; a hostile file only fails, with a reason and in bounded time."""

import io
import os
import stat
import sys
import time
import zipfile
from pathlib import Path

import pytest
from docx import Document
from PIL import Image

from sluice.adapters.documents.parsing import sandbox
from sluice.domain.documents.document import File, Unreadable
from sluice.domain.documents.passages import Block, chunks_of
from tests.unit.documents.pdfs import pdf, scanned

pytestmark = pytest.mark.slow  # seconds together: not in `make test-fast`

MIB = 1024 * 1024


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
    reason("a.txt", b"text", wall_seconds=2.0)
    until = time.monotonic() + 20  # the signal was sent, but a busy machine may need time
    while _runs(int(pid.read_text())) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _runs(int(pid.read_text()))


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


def _replace_worker(monkeypatch: pytest.MonkeyPatch, code: str, program: str = sys.executable) -> None:
    popen = sandbox.subprocess.Popen

    def start(command: list[str], **options: object) -> object:
        return popen([program, "-c", code], **options)  # type: ignore[call-overload]

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
