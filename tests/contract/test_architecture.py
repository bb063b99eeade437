"""docs/architecture.md names every folder and every table once."""

from pathlib import Path
from typing import Any

import pytest

from infra.aws.transform import read as read_template
from tests.contract import markdown
from tests.contract.markdown import ROOT, first_names, section

PAGE = markdown.read("docs/architecture.md")
LAYER = ROOT / "layers" / "core" / "sluice"
NOT_COLUMNS = {"static", "templates"}
BUILT = {"build", "dist"}


def folders(parent: Path) -> set[str]:
    return {path.parent.name for path in parent.glob("*/__init__.py")}


def columns() -> set[str]:
    return {name for floor in folders(LAYER) for name in folders(LAYER / floor)} - NOT_COLUMNS


EXPECTED = {
    "Functions": folders(ROOT / "functions"),
    "Floors": folders(LAYER),
    "Inside inference": folders(ROOT / "functions" / "inference"),
    "Infrastructure": folders(ROOT / "infra"),
}


@pytest.mark.parametrize("title", EXPECTED)
def test_every_folder_is_named_once(title: str) -> None:
    assert sorted(first_names(section(PAGE, title))) == sorted(EXPECTED[title])


def test_every_column_is_named_once_and_exists() -> None:
    named = first_names(section(PAGE, "Columns"))
    assert len(named) == len(set(named))
    assert columns() <= set(named)
    for name in named:
        assert list(LAYER.glob(f"*/{name}")) + list(LAYER.glob(f"*/{name}.py")), f"no floor has {name}"


def test_every_top_level_folder_is_named_once() -> None:
    found = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")} - BUILT
    assert sorted(first_names(section(PAGE, "The other folders"))) == sorted(found)


def test_every_table_has_its_key_and_indexes() -> None:
    declared = _tables()
    rows = {markdown.code(row[0])[0]: row[1] for row in markdown.rows(section(PAGE, "Tables"))}
    assert len(markdown.rows(section(PAGE, "Tables"))) == len(rows)
    assert rows.keys() == declared.keys()
    for name, properties in declared.items():
        indexes = properties.get("GlobalSecondaryIndexes", [])
        wanted = {key["AttributeName"] for key in properties["KeySchema"]} | {each["IndexName"] for each in indexes}
        assert wanted <= set(markdown.code(rows[name])), name
        assert ("stream" in rows[name]) == ("StreamSpecification" in properties), name


def test_every_link_leads_somewhere() -> None:
    for target in markdown.links(PAGE):
        assert (ROOT / "docs" / target).exists(), target


def _tables() -> dict[str, dict[str, Any]]:
    """Table name without its prefix → its properties. The template's own tests compare it with the declarations."""
    resources = read_template(ROOT / "infra" / "aws" / "data.yaml")["Resources"].values()
    found = [each["Properties"] for each in resources if each["Type"] == "AWS::DynamoDB::Table"]
    return {properties["TableName"]["Fn::Sub"].partition("}")[2]: properties for properties in found}
