"""Images and scanned pages, read by tesseract. Without tesseract such a file fails with a message that says so."""

import io
import shutil
import subprocess
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

from sluice.adapters.documents.parsing.limits import CannotRead

MOST_PAGES_SEEN = 20
BUDGET_SECONDS = 45.0
MOST_PIXELS = 40_000_000
WANTED = ("eng", "jpn", "chi_sim", "chi_tra")
NO_ENGINE = "This is an image, and no OCR engine (tesseract) is installed where this service runs."


class Ocr:
    """OCR for one file, limited in the number of images and in seconds."""

    def __init__(self) -> None:
        self._left = MOST_PAGES_SEEN
        self._until = time.monotonic() + BUDGET_SECONDS
        self._engine = shutil.which("tesseract")

    @property
    def installed(self) -> bool:
        return self._engine is not None

    @property
    def can_read(self) -> bool:
        return self.installed and self._left > 0 and time.monotonic() < self._until

    def text(self, image: Any) -> str:
        """Errors: CannotRead."""
        self._left -= 1
        if image.width * image.height > MOST_PIXELS:
            raise CannotRead(f"An image of more than {MOST_PIXELS // 1_000_000} million pixels.")
        plain = io.BytesIO()
        image.convert("L").save(plain, "PNG")
        seconds = max(1.0, self._until - time.monotonic())
        command = [str(self._engine), "stdin", "stdout", "-l", "+".join(_languages(str(self._engine)))]
        try:
            done = subprocess.run(command, input=plain.getvalue(), capture_output=True, timeout=seconds, check=True)
        except (subprocess.SubprocessError, OSError) as exc:
            raise CannotRead("The OCR engine could not read this image.") from exc
        return done.stdout.decode("utf-8", "replace")


@cache
def _languages(engine: str) -> list[str]:
    listed = subprocess.run([engine, "--list-langs"], capture_output=True, timeout=10, check=False)
    there = set(listed.stdout.decode("utf-8", "replace").split())
    return [language for language in WANTED if language in there] or ["eng"]


def read(body: bytes) -> Iterator[tuple[int, str]]:
    ocr = Ocr()
    if not ocr.installed:
        raise CannotRead(NO_ENGINE)
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(body))
        text = ocr.text(image)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as exc:
        raise CannotRead("This image is damaged, or of a kind that is not read.") from exc
    for paragraph in text.split("\n\n"):
        yield 0, paragraph
