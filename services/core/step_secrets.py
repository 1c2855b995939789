"""Secrets that steps may ask for by name: what the operator writes down, and who may have which.

Their values are never here: they are in the cluster, in the steps' namespace, and only the container of the program
that asked for one ever sees it.
"""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, field_validator

_DNS = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"


class StepSecret(BaseModel):
    """One key of a Kubernetes Secret, as the environment variable of a program."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$", description="What a step calls it.")
    env: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$", description="The variable in which it is found.")
    secret: str = Field(pattern=_DNS, description="The Secret in the steps' namespace.")
    key: str = Field(pattern=r"^[A-Za-z0-9._-]{1,253}$", description="The Secret's key.")
    tenants: tuple[str, ...] = Field((), description="Whose steps may have it; none named: everybody's.")

    @field_validator("env")
    @classmethod
    def _check_env(cls, env: str) -> str:
        if env.startswith("COHORT_"):
            raise ValueError(f"{env} is Cohort's own: variables that begin with COHORT_ cannot be set")
        return env

    def is_for(self, tenant: str) -> bool:
        return not self.tenants or tenant in self.tenants


def refused(known: Sequence[StepSecret], tenant: str, names: Sequence[str], env: Sequence[str]) -> str:
    """Why a step of the tenant with these variables cannot have the secrets it names; '' if it can. Of secrets that are
    others' it says what it says of those that do not exist."""
    allowed = {one.name: one for one in known if one.is_for(tenant)}
    taken = dict.fromkeys(env, "env")
    for name in names:
        found = allowed.get(name)
        if found is None:
            return f"there is no secret {name!r} for this step; there are: {', '.join(allowed) or 'none'}"
        if found.env in taken:
            return f"{name} sets {found.env}, which {taken[found.env]} sets too; leave one of them out"
        taken[found.env] = name
    return ""
