"""Everything that tools reach outside: the client, where the services are, and what a tenant may have of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from pydantic import SecretStr

from services.core.settings import WorkerSettings, variable
from services.worker.web.cache import DiskCache
from services.worker.web.client import Access, Web, place_of
from services.worker.web.toolsfile import ToolsFile
from services.worker.web.transport import Place


@dataclass(frozen=True)
class Places:
    """Where the services are: addresses without a slash at their end."""

    hub: str = "https://huggingface.co"
    datasets_server: str = "https://datasets-server.huggingface.co"
    arxiv: str = "https://arxiv.org"
    semantic_scholar: str = "https://api.semanticscholar.org"
    github: str = "https://api.github.com"
    search: str = "https://html.duckduckgo.com/html"

    def moved(self) -> frozenset[Place]:
        """The places of those that an operator has set elsewhere, who is trusted with that."""
        usual = Places()
        names = [one.name for one in fields(self) if getattr(self, one.name) != getattr(usual, one.name)]
        return frozenset(place_of(getattr(self, name)) for name in names)


@dataclass(frozen=True)
class Outside:
    """What is outside, as a worker process knows it. Threads may share it."""

    web: Web = field(default_factory=Web)
    places: Places = field(default_factory=Places)
    file: ToolsFile = field(default_factory=ToolsFile)
    secrets: Mapping[str, SecretStr] = field(default_factory=dict, repr=False)

    def access(self, tenant: str) -> Access:
        """What the tenant's tools may reach, and with what."""
        tokens = {
            place_of(getattr(self.places, service)): _header(service, self.secrets[name])
            for service, name in self.file.variables_of(tenant).items()
        }
        return Access(self.file.hosts_of(tenant), tokens)


def _header(service: str, token: SecretStr) -> tuple[str, SecretStr]:
    if service == "semantic_scholar":
        return "x-api-key", token
    return "Authorization", SecretStr(f"Bearer {token.get_secret_value()}")


def outside_of(settings: WorkerSettings) -> Outside:
    """What a worker's tools reach. Raises `BadRequest` where the tools file is wrong."""
    places = Places(**{one.name: getattr(settings, f"{one.name}_url").rstrip("/") for one in fields(Places)})
    file = ToolsFile() if settings.tools_file is None else ToolsFile.load(settings.tools_file)
    cache = DiskCache(settings.state_dir / "fetched", settings.tools_cache_bytes)
    return Outside(Web(cache, places.moved()), places, file, file.secrets(variable))
