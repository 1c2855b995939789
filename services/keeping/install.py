"""Where an install keeps its state, opened for those who look after it."""

from dataclasses import dataclass

from services.core.archive import Archive
from services.core.artifacts import ArtifactStore
from services.core.attempts import AttemptStore
from services.core.history import History
from services.core.keys import Keys
from services.core.ledger import Ledger
from services.core.logs import LogStore
from services.core.payload import Payloads
from services.core.redis import Client, connect
from services.core.store import RunStore


@dataclass(frozen=True)
class Install:
    """Redis, the artifact store, and what knows how both are used. Runs that have left Redis are read too."""

    client: Client
    keys: Keys
    artifacts: ArtifactStore
    payloads: Payloads
    store: RunStore
    attempts: AttemptStore
    logs: LogStore
    ledger: Ledger
    archive: Archive


def install_of(client: Client, keys: Keys, artifacts: ArtifactStore) -> Install:
    """An install on this Redis, with its artifacts here."""
    payloads, archive = Payloads(artifacts), Archive(artifacts)
    history = History(client, keys, archive)
    return Install(
        client=client,
        keys=keys,
        artifacts=artifacts,
        payloads=payloads,
        store=RunStore(client, keys, payloads, history=history),
        attempts=AttemptStore(client, keys, history),
        logs=LogStore(client, keys, artifacts, history),
        ledger=Ledger(client),
        archive=archive,
    )


def open_install(redis_url: str, artifact_url: str, *, cluster: bool = False, shards: int = 16) -> Install:
    """The install at these addresses. Raises `BadRequest`, `ArtifactStoreUnavailable`."""
    client = connect(redis_url, cluster=cluster, client_name="cohort-admin")
    return install_of(client, Keys(shards), ArtifactStore(artifact_url))
