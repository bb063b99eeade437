"""Bodies and answers of `/v1/run` and of the Open Inference Protocol, for the OpenAPI document only: the model's server
reads and writes them. Source: Open Inference Protocol, REST, v2."""

from typing import Any, ClassVar

from pydantic import ConfigDict, Field

from sluice.domain.documents.uploads import MIB
from sluice.http.gateway.answers import Open
from sluice.http.lazy_model import BaseModel


def _bytes(schema: dict[str, Any]) -> None:
    schema.clear()
    schema |= {"type": "string", "format": "binary", "title": "AnyBody", "description": "As the model wants it."}


class AnyBody(BaseModel):
    model_config = ConfigDict(json_schema_extra=_bytes)
    media_type: ClassVar[str] = "*/*"
    max_bytes: ClassVar[int] = 4 * MIB


class InferenceBody(Open):
    """With tensors in binary form: `application/octet-stream`, and `Inference-Header-Content-Length`."""

    id: str | None = None
    parameters: dict[str, Any] | None = None
    inputs: list[dict[str, Any]] = Field(max_length=1_000, description="`{name, shape, datatype, data}`")
    outputs: list[dict[str, Any]] | None = Field(None, max_length=1_000)


class Inference(Open):
    model_name: str
    model_version: str | None = None
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[dict[str, Any]] = Field(description="`{name, shape, datatype, data}`")


class ModelMetadata(Open):
    name: str
    versions: list[str] | None = None
    platform: str
    inputs: list[dict[str, Any]] = Field(description="`{name, datatype, shape}`")
    outputs: list[dict[str, Any]]


class ModelReadiness(Open):
    name: str
    ready: bool | None = Field(None, description="left out where the server says so by its status alone")
