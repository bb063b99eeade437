"""200 models of pydantic, as callers of structured output write them."""
# ruff: noqa: E501, UP007, UP045

import datetime
import decimal
import enum
import ipaddress
import uuid
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Optional, Union

from pydantic import AnyUrl, BaseModel, ConfigDict, Field, conlist, create_model


class Color(enum.Enum):
    RED, GREEN, BLUE = "red", "green", "blue"


class Level(enum.IntEnum):
    LOW, HIGH = 1, 2


class Address(BaseModel):
    street: Annotated[str, Field(max_length=12)]
    number: Annotated[int, Field(ge=1, le=999)]


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=1, le=9)]


class Dog(BaseModel):
    kind: Literal["dog"]
    good: bool


class Node(BaseModel):
    value: Annotated[int, Field(ge=0, le=9)]
    next: Optional["Node"] = None


class Tree(BaseModel):
    children: Annotated[list["Tree"], Field(max_length=2)] = []


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: bool


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: bool


SHORT = Annotated[str, Field(max_length=6)]
DIGIT = Annotated[int, Field(ge=0, le=9)]
KINDS: list[Any] = [
    str, SHORT, Annotated[str, Field(min_length=2, max_length=5)], Annotated[str, Field(pattern=r"^[A-Z]{3}$")],
    Annotated[str, Field(pattern=r"^\d{4}-\d{2}$")], Annotated[str, Field(pattern=r"[a-z]+@[a-z]+", max_length=20)],
    Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")], int, DIGIT, Annotated[int, Field(gt=0)],
    Annotated[int, Field(lt=0)], Annotated[int, Field(multiple_of=5, ge=0, le=50)], Annotated[int, Field(ge=-10, lt=10)],
    float, Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(gt=0, lt=1)], Annotated[float, Field(ge=-90, le=90)],
    Annotated[float, Field(multiple_of=0.5, ge=0, le=5)], Annotated[float, Field(gt=0)], bool, None, Color, Level,
    Literal["a", "b"], Literal[1, "x", None], Literal["only"], datetime.date, datetime.datetime, datetime.time,
    datetime.timedelta, uuid.UUID, list[uuid.UUID], ipaddress.IPv4Address, ipaddress.IPv6Address, decimal.Decimal,
    Annotated[decimal.Decimal, Field(ge=0, le=10, decimal_places=2)], list[bool], list[DIGIT], list[Color],
    Annotated[list[DIGIT], Field(min_length=1, max_length=3)], conlist(bool, min_length=2, max_length=2), list[list[bool]],
    list[Address], tuple[bool, DIGIT], tuple[SHORT, None, bool], tuple[bool, ...], set[Color], set[Literal["x", "y"]],
    Annotated[set[DIGIT], Field(max_length=2)], frozenset[Color], Annotated[set[Color], Field(min_length=2)],
    dict[str, bool], dict[str, DIGIT], dict[Literal["x", "y"], bool], dict[Color, bool],
    dict[Annotated[str, Field(pattern=r"^[a-z]{2}$")], bool], Annotated[dict[str, bool], Field(max_length=2)],
    Annotated[dict[str, bool], Field(min_length=1)], dict[str, Address], Any, object, Address, Closed, Open, Cat, Node, Tree,
    Union[DIGIT, SHORT], Union[bool, None], Union[Address, Closed], Union[list[bool], bool], Optional[Address],
    Annotated[Union[Cat, Dog], Field(discriminator="kind")], list[Annotated[Union[Cat, Dog], Field(discriminator="kind")]],
    Annotated[str, Field(description="A name", examples=["Ada"], max_length=5)], Annotated[int, Field(title="Age", ge=0, le=130)],
    Union[Literal["auto"], DIGIT], Union[datetime.date, None], Optional[Color], Optional[list[Color]],
    list[Optional[bool]], dict[str, list[bool]], list[tuple[bool, bool]], list[dict[str, bool]], Union[Cat, Dog, None],
    Annotated[str, Field(min_length=1)], Annotated[list[str], Field(min_length=1, max_length=2)], list[datetime.date],
    Annotated[float, Field(ge=0, le=100, json_schema_extra={"unit": "%"})], Union[int, float], Union[str, int, bool, None],
    Annotated[bytes, Field(max_length=4)], Annotated[str, Field(json_schema_extra={"format": "uri"})], AnyUrl,
    Annotated[list[Color], Field(json_schema_extra={"uniqueItems": True})], list[Literal["a", "b", "c", "d", "e", "f"]],
    Annotated[list[DIGIT], Field(json_schema_extra={"contains": {"const": 7}}, max_length=2)],
    Annotated[list[DIGIT], Field(json_schema_extra={"uniqueItems": True}, max_length=3)],
    Annotated[SHORT, Field(json_schema_extra={"not": {"enum": ["", "none"]}})],
    Annotated[SHORT, Field(json_schema_extra={"pattern": r"^(?!.*--)[a-z-]+$"})],
]  # fmt: skip
"""100 types of fields."""


def models() -> Iterator[type[BaseModel]]:
    """Two of each type: the field alone; and beside others, optional, and in a nested model."""
    for number, kind in enumerate(KINDS):
        yield create_model(f"Model{number}", field=(kind, ...))
        inner = create_model(f"Inner{number}", field=(kind, ...), flag=(bool, False))
        maybe = Optional[kind]
        yield create_model(f"Outer{number}", name=(SHORT, ...), inner=(inner, ...), maybe=(maybe, None))
