"""The resources of the three templates as if they were one, for docs/events.md and for tests."""

import json
import re
from typing import Any

Resources = dict[str, dict[str, Any]]
IMPORT = re.compile(r"\$\{DataStack\}-(\w+)")


def together(app: dict[str, Any], data: dict[str, Any], alarms: dict[str, Any]) -> Resources:
    """Imports of data.yaml and parameters of alarms.yaml become what they stand for.

    The arguments are whole templates with intrinsic functions in their long form. Errors: KeyError (no such output),
    ValueError (a name in two of them, or an import that is not of the data stack).
    """

    def imported(value: dict[str, Any]) -> Any:
        if "Fn::ImportValue" in value:
            name = IMPORT.fullmatch(value["Fn::ImportValue"]["Fn::Sub"])
            if name is None:
                raise ValueError(f"not an import of the data stack: {value}")
            return data["Outputs"][name[1]]["Value"]
        if (
            isinstance(value.get("Fn::Sub"), list) and len(value["Fn::Sub"][1]) == 1
        ):  # of one resource's ARN: its short form
            text, ((variable, one),) = value["Fn::Sub"][0], value["Fn::Sub"][1].items()
            if "Fn::GetAtt" in one:
                return {"Fn::Sub": text.replace(f"${{{variable}}}", f"${{{'.'.join(one['Fn::GetAtt'])}}}")}
        return value

    own = json.loads(json.dumps(app["Resources"]), object_hook=imported)
    given = own.pop("Alarms")["Properties"]["Parameters"]
    nested = json.loads(
        json.dumps(alarms["Resources"]).replace("${App}", "${AWS::StackName}"),
        object_hook=lambda one: given.get(one["Ref"], one) if set(one) == {"Ref"} else one,
    )
    if set(own) & set(data["Resources"]) or set(nested) & {*own, *data["Resources"]}:
        raise ValueError("two templates have a resource of the same name")
    return {**own, **data["Resources"], **nested}
