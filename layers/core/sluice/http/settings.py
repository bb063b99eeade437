"""Request and answer models of `/admin/settings`, and a body or a form turned into settings."""

from pydantic import ConfigDict, Field

from sluice.domain.errors import FieldProblem, ValidationFailed
from sluice.domain.settings.checking import WrongSettings, check
from sluice.domain.settings.owners import Model, OwnersSettings, Payment, Plan, SignIn, Site, Upstream, Webhooks
from sluice.domain.settings.versions import InForce
from sluice.http.lazy_model import BaseModel


class SettingsBody(BaseModel):
    """The whole settings: a table that is left out has its defaults. `sluice.toml` has the same keys."""

    version: int = Field(strict=True, ge=0, description="the version that was read; 0 if there was none")
    site: Site = Field(default_factory=Site)
    sign_in: list[SignIn] = Field([], max_length=10, description="as they are; only the operator changes them")
    upstreams: list[Upstream] = Field([], max_length=50, description="as they are; only the operator changes them")
    models: list[Model] = Field([], max_length=200)
    plans: list[Plan] = Field([], max_length=50)
    webhooks: Webhooks = Field(default_factory=Webhooks, description="as they are; only the operator changes them")
    payment: Payment = Field(default_factory=Payment, description="as it is; only the operator changes it")


class SettingsInfo(SettingsBody):
    problem: str | None = Field(None, description="why the newest version is not in force, if it is broken")

    @classmethod
    def of(cls, found: InForce) -> "SettingsInfo":
        return cls.like(found.or_empty(), version=found.version, problem=found.problem or None)


class GivenSettings(BaseModel):
    """A body before its check, whose messages say what to write instead."""

    model_config = ConfigDict(extra="allow")
    version: int = Field(strict=True, ge=0)
    problem: str | None = None  # as it was read

    def settings(self) -> OwnersSettings:
        """Errors: ValidationFailed."""
        try:
            return check(self.model_extra)
        except WrongSettings as exc:
            problems = (FieldProblem(".".join(map(str, one.place)), one.message) for one in exc.problems)
            raise ValidationFailed(tuple(problems)) from exc
