"""`sam build`, and what it leaves out: the bytecode of every module, and the image where another host has the model."""

import sys
from pathlib import Path

from infra.aws.bytecode import RUNTIME, compile_build
from infra.aws.transform import NOT_BUILT_IMAGE

ROOT = Path(__file__).parents[2]
BUILD = ROOT / ".aws-sam" / "build"
SOURCE = ROOT / ".aws-sam" / "template.yaml"
IMAGE_FUNCTION = "  InferenceFunction:\n"
IMAGE_BUILD = "Metadata: {Dockerfile"


class TemplateChanged(Exception):
    """The template is not of the form this reads."""


def write_template(own_model: bool) -> Path:
    """The template to build from: the source itself, or one whose image function needs no Docker.

    That function is then left out of the stack by its condition, but SAM would build and push its image all the same.
    """
    if own_model:
        return ROOT / "template.yaml"
    SOURCE.parent.mkdir(exist_ok=True)
    SOURCE.write_text(without_image((ROOT / "template.yaml").read_text()))
    return SOURCE


def without_image(template: str) -> str:
    """Errors: TemplateChanged."""
    before, found, after = template.partition(IMAGE_FUNCTION)
    if not found or IMAGE_BUILD not in after:
        raise TemplateChanged("template.yaml: the image function is not where it was")
    after = after.replace(IMAGE_BUILD, "Metadata: {SkipBuild: true, Dockerfile", 1)
    head, found, tail = after.partition("    Properties:\n")
    if not found:
        raise TemplateChanged("template.yaml: the image function has no properties")
    return f"{before}{IMAGE_FUNCTION}{head}{found}      ImageUri: {NOT_BUILT_IMAGE}\n{tail}"


def build_words(template: Path) -> list[str]:
    words = ["sam", "build", "--template", str(template), "--base-dir", str(ROOT), "--build-dir", str(BUILD)]
    return [*words, "--cached", "--cache-dir", str(ROOT / ".aws-sam" / "cache"), "--parallel"]


def compile_built() -> bool:
    """Whether this Python is of the functions' version, and so could: else cold starts take three times as long."""
    if sys.version_info[:2] != RUNTIME:
        return False
    compile_build(BUILD)
    return True
