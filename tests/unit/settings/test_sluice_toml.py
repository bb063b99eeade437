"""`sluice.toml`: wrong files are refused with line, key and remedy; right ones mean what they say."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from infra.commands.config import command
from sluice.domain.settings.checking import WrongSettings, check
from sluice.domain.settings.owners import OwnersSettings
from sluice.domain.settings.toml import parse, text_of
from sluice.domain.usage.pricing import parse_usd

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "docs" / "settings"
EXAMPLES = sorted(FOLDER.glob("*.toml"))
BLOCKS = (ROOT / "tests" / "data" / "settings" / "wrong.txt").read_text("utf-8").removeprefix("### ").split("\n### ")
WRONG = {title: rest.split("\n>>>\n") for title, rest in (block.split("\n", 1) for block in BLOCKS)}


FIELDS = OwnersSettings.model_fields


def fields_of(table: Any) -> Any:
    return table.model_fields.items()


def message(text: str) -> str:
    with pytest.raises(WrongSettings) as caught:
        parse(text)
    return str(caught.value)


@pytest.mark.parametrize("title", WRONG)
def test_wrong_file_is_refused_with_line_key_and_remedy(title: str) -> None:
    text, expected = WRONG[title]
    assert message(text) == expected.strip()


def test_there_are_forty_wrong_files() -> None:
    assert len(WRONG) >= 40


@pytest.mark.parametrize("secret", ['"sk-live-123"', "123123", '["sk-live-123"]', '{ a = "sk-live-123" }'])
def test_a_key_in_clear_text_is_never_repeated(secret: str) -> None:
    for head in ("[[upstreams]]", "[upstreams]"):
        assert "123" not in message(f'{head}\nname = "cloud"\nkind = "openai"\nkey = {secret}')
    assert "123" not in message('[[upstreams]]\nname = "cloud"\nkind = "openai"\nurl = "https://ada:123@example.com"')


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_example_is_right_and_survives_being_written(file: Path) -> None:
    found = parse(file.read_text("utf-8"))
    assert parse(text_of(found)) == found
    assert check(json.loads(found.model_dump_json())) == found


def test_schema_for_editors_is_that_of_the_code_and_takes_the_examples() -> None:
    import tomllib

    schema = json.loads((FOLDER / "sluice.schema.json").read_text("utf-8"))
    assert json.loads(CliRunner().invoke(command, ["schema"]).output) == schema, "run `sluice config schema`"
    for file in EXAMPLES:
        Draft202012Validator(schema).validate(tomllib.loads(file.read_text("utf-8")))


def test_page_names_every_key_as_the_code_describes_it() -> None:
    tables = {name: next(iter(get_args(one.annotation)), one.annotation) for name, one in FIELDS.items()}
    rows = [f"| `{t}` | `{key}` | {one.description} |" for t, kind in tables.items() for key, one in fields_of(kind)]
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    assert [line for line in page.splitlines() if line.startswith(tuple(f"| `{name}`" for name in tables))] == rows


@pytest.mark.parametrize(
    ("written", "kept", "amount"),
    [
        ('"0.10"', "0.10", 100_000),
        ("0.1", "0.10", 100_000),
        ("5", "5.00", 5_000_000),
        ('"0.000001"', "0.000001", 1),
        ("1e-6", "0.000001", 1),
        ('"0"', "0.00", 0),
    ],
)
def test_amount_is_exact_however_it_is_written(written: str, kept: str, amount: int) -> None:
    found = parse(f'[[models]]\nid = "a"\nprompt_usd = {written}').models[0].prompt_usd
    assert found == kept
    assert parse_usd(found) == amount


def test_nothing_is_a_file_of_defaults() -> None:
    assert parse("") == parse("\ufeff# nothing\r\n") == OwnersSettings()
    assert text_of(OwnersSettings()) == ""


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "9" * 5000, "#" * 262_145, "\x00", "a" * 5000])
def test_hostile_file_is_refused_in_words(text: str) -> None:
    assert message(text)


KEYS = st.sampled_from(
    ["site", "sign_in", "upstreams", "models", "plans", "name", "id", "key", "url", "rpm", "prompt_usd", "aliases"]
)
TEXT = st.text("ab1:/.-_ €\x7f\n\"'[]{}*", max_size=8)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | KEYS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, ANY, max_size=4))
def test_whatever_is_given_is_accepted_or_refused_in_words(raw: dict[str, Any]) -> None:
    try:
        found = check(raw)
    except WrongSettings as exc:
        assert all(problem.message.endswith((".", "?")) for problem in exc.problems)
    else:
        assert parse(text_of(found)) == found


@given(st.decimals(min_value=0, max_value=10**9, places=6))
def test_amount_is_kept_to_the_micro_dollar(amount: Decimal) -> None:
    found = check({"models": [{"id": "a", "prompt_usd": str(amount)}]}).models[0].prompt_usd
    assert found is not None
    assert parse_usd(found) == amount * 1_000_000


def test_command_checks_a_file_and_says_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "sluice.toml"
    monkeypatch.setenv("SLUICE_CONFIG", str(file))
    assert "cannot be read" in CliRunner().invoke(command, ["check"]).stderr
    file.write_text('[[plans]]\nname = "free"\ndefault = true')
    right = CliRunner().invoke(command, ["check"])
    assert (right.exit_code, right.output) == (0, f"{file} is right: 0 upstreams, 0 models, 1 plans\n")
    file.write_bytes(b"\xff\xfe")
    assert "is not UTF-8" in CliRunner().invoke(command, ["check"]).stderr
    file.write_text('[site]\nnam = "x"')
    wrong = CliRunner().invoke(command, ["check", str(file)])
    assert wrong.exit_code == 1
    assert "line 2: site.nam: is not known here. Did you mean name?" in wrong.stderr
