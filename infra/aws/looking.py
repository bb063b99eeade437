"""`sluice deploy --check`: what an account and a machine have, and what a deployment will do about each.

It only reads. A question that the credentials may not ask is a row of the table, and no reason to stop.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from infra.aws.cost.bounds import Bounds
from infra.aws.cost.worst import worst_month
from infra.aws.stack import BROKEN, data_stack, describe
from infra.migrations import record
from infra.migrations.steps import CURRENT
from sluice.adapters.aws.models import TABLES

UNRESERVED_AT_LEAST = 100  # Lambda refuses a reservation that leaves less for all other functions
DOCKER = {"amd64": "x86_64", "arm64": "arm64", "x86_64": "x86_64", "aarch64": "arm64"}
ASK_DOCKER = ("docker", "version", "--format", "{{.Server.Arch}}")


@dataclass(frozen=True)
class Finding:
    what: str
    found: str
    then: str
    sets: Mapping[str, str] = field(default_factory=dict)  # parameters, unless the owner gives them
    stops: bool = False


@dataclass(frozen=True)
class Looker:
    """`known`: every parameter in force. `given`: those of this command. `ask`: a program's output, or ""."""

    client: Callable[[str], Any]
    ask: Callable[[Sequence[str]], str]
    stack: str
    given: Mapping[str, str]
    known: Mapping[str, str]

    def look(self) -> list[Finding]:
        """Raises botocore's errors, but not for a denied question."""
        return list(self._rows())

    def _rows(self) -> Iterator[Finding]:
        questions = [self._stacks, self._tables, self._concurrency, self._logs_role]
        questions += [self._mail] if self.known["Mail"] == "ses" else []
        questions += [self._model] if self.known["InferenceUrl"] else [self._memory, self._docker]
        questions += [self._bill]
        for question in questions:
            try:
                yield question()
            except ClientError as exc:
                code = exc.response["Error"]["Code"]
                yield Finding(question.__name__.strip("_").replace("_", " "), f"not known ({code})", "goes on without")

    def _status(self, stack: str) -> str:
        return str(describe(self.client("cloudformation"), stack).get("StackStatus", ""))

    def _set(self, **wanted: str) -> dict[str, str]:
        return {name: value for name, value in wanted.items() if name not in self.given and self.known[name] != value}

    def _stacks(self) -> Finding:
        names = (data_stack(self.stack), self.stack)
        states = {name: self._status(name) for name in names}
        found = ", ".join(f"{name}: {state or 'none'}" for name, state in states.items())
        then = [f"makes {name}" for name, state in states.items() if not state]
        then += [f"deletes {name}, which is no use, and makes it" for name, state in states.items() if state in BROKEN]
        return Finding("stacks", found, "; ".join(then) or "updates both")

    def _tables(self) -> Finding:
        prefix = self.known["TablePrefix"]
        pages = self.client("dynamodb").get_paginator("list_tables").paginate()
        there = {name for page in pages for name in page["TableNames"]}
        ours = there & {prefix + table.Meta.table_name for table in TABLES}
        if ours and self._status(data_stack(self.stack)) in ("", *BROKEN):
            then = f"stops: import them into a stack {data_stack(self.stack)}, or give another TablePrefix"
            return Finding("tables", f"{len(ours)} of {prefix}… without their stack", then, stops=True)
        if ours and (version := record.read(self.client("dynamodb"), prefix).version) > CURRENT:
            then = f"stops: a newer Sluice wrote them, and this one knows schema {CURRENT}"
            return Finding("tables", f"{len(ours)} of {prefix}…, schema {version}", then, stops=True)
        return Finding("tables", f"{len(ours)} of {prefix}…", "keeps them" if ours else f"makes {len(TABLES)}")

    def _concurrency(self) -> Finding:
        limits = self.client("lambda").get_account_settings()["AccountLimit"]
        whole, free = limits["ConcurrentExecutions"], limits["UnreservedConcurrentExecutions"]
        found = f"{whole} functions at once, {free} of them unreserved"
        if self._status(self.stack) not in ("", *BROKEN) and "InferenceConcurrency" not in self.given:
            return Finding("concurrency", found, "keeps what is reserved")
        wanted = sum(Bounds(self.known).reserved.values())
        if not wanted or free - wanted >= UNRESERVED_AT_LEAST:
            return Finding("concurrency", found, f"reserves {wanted} for the functions" if wanted else "reserves none")
        if "InferenceConcurrency" in self.given:
            then = f"stops: {wanted} cannot be reserved; give InferenceConcurrency=0"
            return Finding("concurrency", found, then, stops=True)
        few = {"DefaultConcurrency": "1"} if whole < UNRESERVED_AT_LEAST else {}  # a chat takes two of them
        then = "reserves none" + (", one request at a time for an account" if few else "")
        return Finding("concurrency", found, f"{then}; ask for 1,000", self._set(InferenceConcurrency="0", **few))

    def _memory(self) -> Finding:
        pages = self.client("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode="lambda")
        listed = [one for page in pages for one in page["Quotas"] if "memory" in one["QuotaName"].lower()]
        wanted = int(self.known["InferenceMemory"])
        if not listed:
            return Finding("memory", "no quota listed", f"{wanted} MB for the model; new accounts may be held to 3008")
        most = int(min(one["Value"] for one in listed))
        if wanted <= most:
            return Finding("memory", f"at most {most} MB", f"{wanted} MB for the model")
        if "InferenceMemory" in self.given:
            return Finding("memory", f"at most {most} MB", f"stops: {wanted} MB is more", stops=True)
        return Finding("memory", f"at most {most} MB", f"{most} MB for the model", self._set(InferenceMemory=str(most)))

    def _logs_role(self) -> Finding:
        role = self.client("apigateway").get_account().get("cloudwatchRoleArn", "")
        if not role:
            return Finding("API Gateway's log role", "none", "makes one")
        if self._status(data_stack(self.stack)):
            return Finding("API Gateway's log role", role, "keeps it")
        return Finding("API Gateway's log role", role, "keeps it", self._set(ApiLogsRole="keep"))

    def _mail(self) -> Finding:
        ses, domain = self.client("sesv2"), self.known["MailDomain"]
        sandbox = not ses.get_account()["ProductionAccessEnabled"]
        found = "SES in its sandbox" if sandbox else "SES"
        try:
            verified = ses.get_email_identity(EmailIdentity=domain)["VerifiedForSendingStatus"]
        except ses.exceptions.NotFoundException:
            then = f"makes the identity {domain}; set its DNS records"
            return Finding("mail", found, then + (", and ask for production access" if sandbox else ""))
        found += f"; {domain} is an identity" + ("" if verified else ", not verified yet")
        if self._status(data_stack(self.stack)):
            return Finding("mail", found, "keeps it")
        return Finding("mail", found, "keeps it", self._set(MailIdentity="keep"))

    def _model(self) -> Finding:
        """Another server's. Of Bedrock's models, whether each is there for this account, in this region."""
        ids, without = self.known["BedrockModels"], "builds no image and needs no Docker"
        if not ids:
            return Finding("model", self.known["InferenceUrl"], without)
        bedrock = self.client("bedrock")
        missing = []
        for one in ids.split(","):
            try:
                there = bedrock.get_foundation_model_availability(modelId=one)
            except (bedrock.exceptions.ResourceNotFoundException, bedrock.exceptions.ValidationException):
                missing.append(f"{one} is unknown")
                continue
            states = {name: there[f"{name}Availability"] for name in ("region", "entitlement")}
            states |= {
                "authorization": there["authorizationStatus"],
                "agreement": there["agreementAvailability"]["status"],
            }
            missing += [
                f"{one}: {name} {is_}" for name, is_ in states.items() if is_ not in ("AVAILABLE", "AUTHORIZED")
            ]
        if missing:
            then = "stops: ask for the model in Bedrock's console, or name one of this region"
            return Finding("model", "; ".join(missing), then, stops=True)
        return Finding("model", f"Bedrock's {ids}", without)

    def _docker(self) -> Finding:
        engine, wanted = DOCKER.get(self.ask(ASK_DOCKER).strip(), ""), self.known["Architecture"]
        if not engine:
            then = "stops: the model's image is built with it. Start it, or give MODEL=bedrock:ID or InferenceUrl"
            return Finding("Docker", "no engine answers", then, stops=True)
        if engine == wanted:
            return Finding("Docker", engine, f"builds the model's image for {wanted}")
        if self._status(self.stack) in ("", *BROKEN) and "Architecture" not in self.given:
            then = f"deploys {engine}, because building for {wanted} would emulate it"
            return Finding("Docker", engine, then, self._set(Architecture=engine))
        return Finding("Docker", engine, f"builds for {wanted} by emulation, which takes an hour")

    def _bill(self) -> Finding:
        address, budget = self.known["AlarmMail"], self.known["MonthlyBudget"]
        told = f"mails to {address} at 50, 80 and 100 % of ${budget}" if address else "nobody is told: give AlarmMail"
        return Finding("bill", told, f"at most ${worst_month(self.known)[-1].usd:,.0f} a month (docs/cost.md)")


def table(findings: Sequence[Finding]) -> list[str]:
    """Lines for a terminal: what, found, then; and the parameters that were chosen."""
    wide = max(len(one.what) for one in findings)
    middle = max(len(one.found) for one in findings)
    lines = [f"{one.what:{wide}}  {one.found:{middle}}  {one.then}" for one in findings]
    chosen = {name: value for one in findings for name, value in one.sets.items()}
    return [*lines, f"chosen: {', '.join(f'{name}={value}' for name, value in chosen.items()) or 'nothing'}"]
