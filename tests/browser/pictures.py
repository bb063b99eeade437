"""`python -m tests.browser.pictures`: makes the README's pictures from screenshots, small by using 96 colours."""

from pathlib import Path

from PIL import Image

from tests.browser.tab import SCREENSHOTS

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
COLOURS = 96


def main() -> None:
    for file in sorted(SCREENSHOTS.glob("readme-*.png")):
        target = FOLDER / file.name.removeprefix("readme-")
        with Image.open(file) as shown:
            shown.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)
        print(target.name, target.stat().st_size)


if __name__ == "__main__":
    main()
