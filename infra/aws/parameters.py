"""The parameters of a deployment: checked against both templates, and written so that SAM reads them as given."""

import re
import sys
from collections.abc import Mapping
from email.utils import parseaddr

from infra.aws.building import DATA, ROOT
from infra.aws.transform import read
from sluice.settings import model_names

BEDROCK_ID = re.compile(r"(?!(us|eu|apac|jp|au|us-gov|global)\.)[a-z0-9-]+\.[a-z0-9.-]+(:[a-z0-9-]+){0,2}")
MODEL_PARAMETERS = ("InferenceUrl", "InferenceModels", "BedrockModels")
SHARED = ("TablePrefix", "Mail", "MailDomain")  # of both stacks


def defaults() -> dict[str, str]:
    """Every parameter of both templates, with its default."""
    found: dict[str, str] = {}
    for path in (DATA, ROOT / "template.yaml"):
        found |= {name: str(one.get("Default", "")) for name, one in read(path)["Parameters"].items()}
    return found


def wrong_numbers(given: Mapping[str, str]) -> list[str]:
    """A sentence for each value that is no number, or none that its parameter takes."""
    declared = {name: one for path in (DATA, ROOT / "template.yaml") for name, one in read(path)["Parameters"].items()}
    found = []
    for name, value in given.items():
        if declared.get(name, {}).get("Type") == "Number":
            least, most = declared[name].get("MinValue", 0), declared[name].get("MaxValue", sys.maxsize)
            try:
                fits = float(least) <= float(value) <= float(most)
            except ValueError:
                fits = False
            span = f"from {least} to {most}" if "MaxValue" in declared[name] else f"of {least} or more"
            found += [] if fits else [f"{name} is {value!r}, and must be a number {span}"]
    return found


def of_model(model: str, region: str) -> dict[str, str]:
    """The parameters of `--model`: `image`, or `bedrock:` and what `InferenceModels` takes. Raises ValueError."""
    if model == "image":
        return dict.fromkeys(MODEL_PARAMETERS, "")
    kind, _, names = model.partition(":")
    ids = list(model_names(names).values()) if kind == "bedrock" else []
    if not ids:
        raise ValueError(f"--model {model}: give image, bedrock:ID or bedrock:NAME=ID, several with commas")
    for one in ids:
        if not BEDROCK_ID.fullmatch(one):
            raise ValueError(f"{one} is no id of a foundation model (inference profiles are not supported)")
    url = f"https://bedrock-runtime.{region}.amazonaws.com/openai/v1"
    return dict(zip(MODEL_PARAMETERS, (url, names, ",".join(ids)), strict=True))


def check(given: Mapping[str, str], known: Mapping[str, str]) -> None:
    """`known`: the values in force with `given`. Raises ValueError, with a sentence for each mistake."""
    wrong = [
        f"there is no parameter {name}; the top of template.yaml lists them" for name in given if name not in defaults()
    ]
    wrong += [
        f"{name} contains a backslash or a line break, which SAM cannot pass on"
        for name, value in given.items()
        if "\\" in value or "\n" in value
    ]
    wrong += wrong_numbers(given)
    address = parseaddr(known["MailFrom"])[1]
    if known["Mail"] == "ses" and address.rpartition("@")[2].lower() != known["MailDomain"].lower():
        wrong.append(
            f"MailFrom sends as {address or 'nobody'}, but SES may only send from MailDomain, {known['MailDomain']}: "
            "give both"
        )
    unnamed = set(filter(None, known["BedrockModels"].split(","))) - set(model_names(known["InferenceModels"]).values())
    if unnamed:
        wrong.append(f"InferenceModels names no {', '.join(sorted(unnamed))} of BedrockModels; --model sets both")
    if known["BedrockModels"] and known["EmbeddingModel"]:
        wrong.append("Bedrock's OpenAI API makes no embeddings: leave EmbeddingModel empty")
    if wrong:
        raise ValueError("; ".join(wrong))


def overrides(values: Mapping[str, str]) -> list[str]:
    """The words for SAM's command; none if there are no values.

    SAM splits each word at blanks outside quotation marks, and an empty value needs them too.
    """
    words = ['{}="{}"'.format(name, value.replace('"', '\\"')) for name, value in values.items()]
    return ["--parameter-overrides", *words] if words else []
