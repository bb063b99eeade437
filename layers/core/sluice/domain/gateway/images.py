"""Images in chat messages: which model may get them, what they reserve, and texts without them. Pure functions."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sluice.domain.errors import FieldProblem, ValidationFailed

VISION = "vision"
IMAGE_TOKENS = 4096
"""Reserved for each image. Its size in bytes says nothing of its tokens, which today's models keep below this."""
USUAL_TOKENS = 1024
"""Of an image, where the model server sends no counts."""
TEXT_ONLY = "this model takes text only"
NOT_SEARCHED = "an answer from documents takes text only: leave images out"
ADDRESS = re.compile(r"https://|data:image/[a-z0-9.+-]{1,32};base64,")
NO_ADDRESS = "send a data:image/…;base64,… or an https:// address"


class Image(NamedTuple):
    """`place`: of the part in the request, as OpenAI writes it. `url_field`: of its address, within the part."""

    place: str
    url_field: str
    url: str


def check(model: Mapping[str, Any], images: Iterable[Image]) -> None:
    """A model that states no capabilities may have eyes: its server knows. Errors: ValidationFailed, which names the
    first image that the model cannot have."""
    for image in images:
        if VISION not in model.get("capabilities", [VISION]):
            raise _problem(f"{image.place}.type", TEXT_ONLY)
        if not ADDRESS.match(image.url):
            raise _problem(f"{image.place}.{image.url_field}", NO_ADDRESS)


def check_earlier(
    model: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], *, searched: bool, param: str
) -> None:
    """Of chat messages that a stored conversation is in, whose own images are checked. `searched`: whether passages are
    put before the question. Errors: ValidationFailed."""
    if without(messages)[1]:
        if searched:
            raise _problem(param, NOT_SEARCHED)
        if VISION not in model.get("capabilities", [VISION]):
            raise _problem(param, TEXT_ONLY)


def _problem(param: str, message: str) -> ValidationFailed:
    return ValidationFailed((FieldProblem(param.replace("[", ".").replace("]", ""), message, param),))


def without(messages: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], int]:
    """Chat messages whose images have no address, and how many images there are."""
    count = 0
    seen: list[Mapping[str, Any]] = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            parts = [{"type": "image_url"} if part["type"] == "image_url" else part for part in content]
            count += sum(part["type"] == "image_url" for part in content)
            message = {**message, "content": parts}
        seen.append(message)
    return seen, count
