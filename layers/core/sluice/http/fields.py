"""Fields that several request models share: numbers (without booleans), and the filters of a search."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, field_validator

from sluice.domain.documents.attribute_filters import MAX_DEPTH
from sluice.domain.documents.uploads import KEY_CHARACTERS, VALUE_CHARACTERS
from sluice.http.lazy_model import BaseModel


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


Integer = Annotated[int, BeforeValidator(_no_bool), Field(strict=True)]
Number = Annotated[float, BeforeValidator(_no_bool), Field(strict=True, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]


class Loose(BaseModel):
    model_config = ConfigDict(extra="ignore")


class PageQuery(BaseModel):
    after: Annotated[str, Field(max_length=128)] | None = Field(None, description="the last id of the previous page")
    limit: int = Field(20, ge=1, le=100)
    order: Literal["asc", "desc"] = "desc"


Text = Annotated[str, Field(max_length=1_000_000)]
Id = Annotated[str, Field(max_length=512)]  # of a call; also names
Key = Annotated[str, StringConstraints(min_length=1, max_length=KEY_CHARACTERS)]
Value = Annotated[str, StringConstraints(max_length=VALUE_CHARACTERS)]


class Comparison(Loose):
    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    key: Key
    value: Flag | Number | Value | Annotated[list[Flag | Number | Value], Field(max_length=100, fail_fast=True)]


class Compound(Loose):
    type: Literal["and", "or"]
    filters: Annotated[list["Filter"], Field(fail_fast=True)] = Field(min_length=1, max_length=20)


Filter = Annotated[Comparison | Compound, Field(discriminator="type")]


class RankingOptions(Loose):
    ranker: Annotated[str, Field(max_length=64)] | None = None
    score_threshold: Number | None = Field(None, description="scores compare within one search only")


class Filtered(Loose):
    filters: Filter | None = None
    ranking_options: RankingOptions | None = None

    @field_validator("filters")
    @classmethod
    def _not_too_deep(cls, filters: Comparison | Compound | None) -> Comparison | Compound | None:
        if filters is not None and _depth(filters) > MAX_DEPTH:
            raise ValueError(f"filters may be nested {MAX_DEPTH} deep")
        return filters

    def wanted(self) -> dict[str, Any] | None:
        return self.filters.model_dump() if self.filters else None

    @property
    def threshold(self) -> float | None:
        return self.ranking_options.score_threshold if self.ranking_options else None


def _depth(filter_: Comparison | Compound) -> int:
    return 1 + max(map(_depth, filter_.filters)) if isinstance(filter_, Compound) else 1
