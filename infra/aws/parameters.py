"""The parameters of a deployment: checked against both templates, and written so that SAM reads them as given."""

import sys
from collections.abc import Mapping
from email.utils import parseaddr

from infra.aws.building import DATA, ROOT
from infra.aws.transform import read

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
    if wrong:
        raise ValueError("; ".join(wrong))


def overrides(values: Mapping[str, str]) -> list[str]:
    """The words for SAM's command; none if there are no values.

    SAM splits each word at blanks outside quotation marks, and an empty value needs them too.
    """
    words = ['{}="{}"'.format(name, value.replace('"', '\\"')) for name, value in values.items()]
    return ["--parameter-overrides", *words] if words else []
