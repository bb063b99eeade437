"""Runs `sam build` on the joined template, adds bytecode, and leaves out the image when another host serves the model.

`python -m infra.aws.building` writes that template for SAM and cfn-lint, and prints its path.
"""

from pathlib import Path

from infra.aws.bytecode import compile_build, interpreter
from infra.aws.transform import NOT_BUILT_IMAGE, source

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).with_name("data.yaml")
BUILD = ROOT / ".aws-sam" / "build"
SOURCE = ROOT / ".aws-sam" / "template.yaml"
IMAGE_FUNCTION = "  InferenceFunction:\n"
IMAGE_BUILD = "Metadata: {Dockerfile"


class TemplateChanged(Exception):
    """The application's template does not have the expected form."""


def write_template(own_model: bool) -> Path:
    """Write the template to build, and return its path. Without an own model it lacks the image, which needs Docker.

    A condition leaves the function out of the stack, but SAM would still build and push its image.
    """
    SOURCE.parent.mkdir(exist_ok=True)
    SOURCE.write_text(joined() if own_model else without_image(joined()))
    return SOURCE


def joined() -> str:
    """The application's template in one text, for a file in any folder."""
    return source().replace("TemplateURL: ", f"TemplateURL: {ROOT}/")  # SAM reads it from beside the template


def without_image(template: str) -> str:
    """The template without the image build. Raises TemplateChanged."""
    before, found, after = template.partition(IMAGE_FUNCTION)
    if not found or IMAGE_BUILD not in after:
        raise TemplateChanged("background.yaml: the image function is not where it was")
    after = after.replace(IMAGE_BUILD, "Metadata: {SkipBuild: true, Dockerfile", 1)
    head, found, tail = after.partition("    Properties:\n")
    if not found:
        raise TemplateChanged("background.yaml: the image function has no properties")
    return f"{before}{IMAGE_FUNCTION}{head}{found}      ImageUri: {NOT_BUILT_IMAGE}\n{tail}"


def build_words(template: Path) -> list[str]:
    words = ["sam", "build", "--template", str(template), "--base-dir", str(ROOT), "--build-dir", str(BUILD)]
    return [*words, "--cached", "--cache-dir", str(ROOT / ".aws-sam" / "cache"), "--parallel"]


def compile_built() -> bool:
    """Compile the build. Returns False where there is no Python of the functions' version."""
    if interpreter() is None:
        return False
    compile_build(BUILD)
    return True


if __name__ == "__main__":
    print(write_template(own_model=True))
