"""What the templates allow with a set of parameters: calls a second, functions at once, units of the store."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from infra.aws.cost.inputs import resources, template
from infra.aws.parameters import defaults, wrong_numbers

Method = tuple[str, str]


class Bounds:
    """`given`: parameters of either template; the others have their defaults. Raises ValueError for a mistake."""

    def __init__(self, given: Mapping[str, str]) -> None:
        known = defaults()
        wrong = [f"there is no parameter {name}" for name in given if name not in known] + wrong_numbers(given)
        if wrong:
            raise ValueError("; ".join(wrong))
        self.known = {**known, **given}

    def value(self, one: Any) -> Any:
        """A property's value: `!Ref` and `!If` resolved, None for none."""
        match one:
            case {"Ref": name}:
                return self.known.get(name)
            case {"Fn::If": [name, yes, no]}:
                return self.value(yes if self.holds(name) else no)
        return one

    def holds(self, condition: Any) -> bool:
        match condition:
            case str(name) | {"Condition": name}:
                return self.holds(template()["Conditions"][name])
            case {"Fn::Equals": [one, other]}:
                return str(self.value(one)) == str(self.value(other))
            case {"Fn::Not": [one]}:
                return not self.holds(one)
            case {"Fn::And": several}:
                return all(map(self.holds, several))
            case {"Fn::Or": several}:
                return any(map(self.holds, several))
        raise ValueError(f"no rule here for the condition {condition}")

    @cached_property
    def functions(self) -> dict[str, dict[str, Any]]:
        """The properties of each function that is deployed, with the shared ones."""
        shared = template()["Globals"]["Function"]
        return {
            name: {**shared, **one["Properties"]}
            for name, one in resources().items()
            if one["Type"] == "AWS::Serverless::Function" and self.holds_for(one)
        }

    def holds_for(self, resource: Mapping[str, Any]) -> bool:
        return "Condition" not in resource or self.holds(resource["Condition"])

    @cached_property
    def rates(self) -> dict[Method, float]:
        """Calls a second of each method of the API, as API Gateway throttles them."""
        settings = {
            (one["HttpMethod"], one["ResourcePath"].replace("~1", "/").replace("//", "/")): one
            for one in template()["Resources"]["Api"]["Properties"]["MethodSettings"]
        }
        methods = [
            (event["Properties"]["Method"].upper(), event["Properties"]["Path"])
            for one in self.functions.values()
            for event in one.get("Events", {}).values()
            if event["Type"] == "Api"
        ]
        return {
            method: float(self.value(settings.get(method, settings["*", "/*"])["ThrottlingRateLimit"]))
            for method in methods
        }

    @cached_property
    def reserved(self) -> dict[str, int]:
        """The concurrency of each function; empty where none is reserved."""
        found = {name: self.value(one["ReservedConcurrentExecutions"]) for name, one in self.functions.items()}
        return {name: int(most) for name, most in found.items() if most is not None}

    def memory_gb(self, function: str) -> float:
        return int(self.value(self.functions[function]["MemorySize"])) / 1024

    @cached_property
    def units(self) -> tuple[float, float]:
        """Read and write units a second of all tables and indexes together."""
        tables = [one["Properties"] for one in resources().values() if one["Type"] == "AWS::DynamoDB::Table"]
        parts = [part for table in tables for part in (table, *table.get("GlobalSecondaryIndexes", []))]
        reads, writes = (
            sum(float(self.value(part["OnDemandThroughput"][f"Max{kind}RequestUnits"])) for part in parts)
            for kind in ("Read", "Write")
        )
        return reads, writes
