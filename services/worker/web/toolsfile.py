"""What an operator says of the tools that reach outside: hosts and tokens, for all and for single tenants.

Tokens are named by the variables of the worker that hold them, so that the file holds no secret. See docs/tools.md.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from services.core.apikeys import TENANT
from services.core.errors import BadRequest
from services.core.operators_file import Entry, load, read
from services.worker.web.addresses import Hosts

_HOST = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
SERVICES = ("hub", "github", "semantic_scholar")
"""The services that take a token of ours."""


class Reach(Entry):
    """What tools may reach, and the variables that hold the tokens for it, by service."""

    hosts: tuple[str, ...] | None = Field(
        None, max_length=1_000, description="Names, or *.name; none: every public one."
    )
    tokens: dict[str, str] = Field(default_factory=dict, description="Variable of the worker, by service.")

    @field_validator("hosts")
    @classmethod
    def _check_hosts(cls, hosts: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for host in hosts or ():
            if not _HOST.fullmatch(host):
                raise ValueError(f"{host!r} is no host: give a name, or *.name for all below it")
        return hosts

    @field_validator("tokens")
    @classmethod
    def _check_tokens(cls, tokens: dict[str, str]) -> dict[str, str]:
        for service, variable in tokens.items():
            if service not in SERVICES:
                raise ValueError(f"no tool asks {service}; there are: {', '.join(SERVICES)}")
            if not _VARIABLE.fullmatch(variable):
                raise ValueError(f"{service}: give the name of a variable, not the token")
        return tokens


class ToolsFile(Reach):
    """The whole file: what holds for every tenant, and what for single ones instead."""

    tenants: dict[str, Reach] = Field(
        default_factory=dict, description="By tenant; what it does not say, is as for all."
    )

    @field_validator("tenants")
    @classmethod
    def _check_tenants(cls, tenants: dict[str, Reach]) -> dict[str, Reach]:
        for name in tenants:
            if not TENANT.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a tenant")
        return tenants

    @classmethod
    def load(cls, path: Path) -> "ToolsFile":
        """What is in a file. Raises `BadRequest`."""
        return load(path, cls.read, "tools_file")

    @classmethod
    def read(cls, value: object) -> "ToolsFile":
        """What is in a parsed file. Raises `BadRequest`."""
        return read(value, cls, (ToolsFile, Reach))

    def hosts_of(self, tenant: str) -> Hosts:
        """What the tenant's tools may reach."""
        own = self.tenants.get(tenant)
        return Hosts(own.hosts if own is not None and own.hosts is not None else self.hosts)

    def variables_of(self, tenant: str) -> dict[str, str]:
        """The variables with the tenant's tokens, by service."""
        own = self.tenants.get(tenant)
        return self.tokens | (own.tokens if own is not None else {})

    def secrets(self, value_of: Callable[[str], SecretStr | None]) -> Mapping[str, SecretStr]:
        """Every token that is named, by its variable. Raises `BadRequest` where a variable is not set."""
        named = {variable for reach in (self, *self.tenants.values()) for variable in reach.tokens.values()}
        found = {variable: value_of(variable) for variable in sorted(named)}
        for variable, value in found.items():
            if value is None:
                raise BadRequest(f"the tools file names the variable {variable}, which is not set", "tools_file")
        return {variable: value for variable, value in found.items() if value is not None}
