"""Runs `sam build`, adds bytecode, and leaves out the image when another host serves the model."""

from pathlib import Path

from infra.aws.bytecode import compile_build, interpreter
from infra.aws.transform import NOT_BUILT_IMAGE

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).with_name("data.yaml")
BUILD = ROOT / ".aws-sam" / "build"
SOURCE = ROOT / ".aws-sam" / "template.yaml"
IMAGE_FUNCTION = " InferenceFunction:\n"
IMAGE_BUILD = "Metadata: {Dockerfile"


class TemplateChanged(Exception):
    """template.yaml does not have the expected form."""


def write_template(own_model: bool) -> Path:
    """The path of the template to build: the source, or a copy without the image build, which needs no Docker.

    A condition leaves the function out of the stack, but SAM would still build and push its image.
    """
    if own_model:
        return ROOT / "template.yaml"
    SOURCE.parent.mkdir(exist_ok=True)
    SOURCE.write_text(without_image((ROOT / "template.yaml").read_text()))
    return SOURCE


def without_image(template: str) -> str:
    """The template without the image build, for any folder. Raises TemplateChanged."""
    template = template.replace("TemplateURL: ", f"TemplateURL: {ROOT}/")  # SAM reads it from beside the template
    before, found, after = template.partition(IMAGE_FUNCTION)
    if not found or IMAGE_BUILD not in after:
        raise TemplateChanged("template.yaml: the image function is not where it was")
    after = after.replace(IMAGE_BUILD, "Metadata: {SkipBuild: true, Dockerfile", 1)
    head, found, tail = after.partition("  Properties:\n")
    if not found:
        raise TemplateChanged("template.yaml: the image function has no properties")
    return f"{before}{IMAGE_FUNCTION}{head}{found}   ImageUri: {NOT_BUILT_IMAGE}\n{tail}"


def build_words(template: Path) -> list[str]:
    words = ["sam", "build", "--template", str(template), "--base-dir", str(ROOT), "--build-dir", str(BUILD)]
    return [*words, "--cached", "--cache-dir", str(ROOT / ".aws-sam" / "cache"), "--parallel"]


def compile_built() -> bool:
    """Compile the build. Returns False where the functions' Python is missing, or packages for it cannot be had."""
    return interpreter() is not None and compile_build(BUILD)
