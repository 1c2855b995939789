"""The names of everything in Redis, and what is hashed where.

All keys one script touches share a shard tag, so the same code runs on one Redis and on a Redis Cluster. A run's tag
follows from its id alone. What spans runs (a tenant's budget, API keys) has a tag of its own.

| key | type | holds |
| --- | --- | --- |
| `{c07}:run:<run>` | hash | seq, status, lease (generation, owner, until), ids of the last writes, wake_at, snapshot |
| … of a run that has left Redis | hash | a stub, see `history` |
| `{c07}:run:<run>:events` | stream | the event log; the entry id is `<seq>-0`, so there is no second numbering |
| `{c07}:run:<run>:talk` | list | the conversation: one JSON entry per message of the model's view |
| `{c07}:run:<run>:seen` | hash | dedupe key of an outside fact → the seq that recorded it |
| `{c07}:due` | zset | run → milliseconds at which somebody must look at it |
| `{c07}:overdue` | zset | run that the sweeper named and nobody has taken yet → milliseconds since when it was due |
| `{c07}:live` | hash | run that is not over → its status, creation time in milliseconds and tenant; no researches |
| `{c07}:tenant:<tenant>[:<status>]` | zset | run → creation time in milliseconds |
| `{c07}:researches:<tenant>[:<status>]` | zset | the same of researches, which no listing of goals names |
| `{c07}:attempts` | zset | live attempt, and each further rank of it → submission time in milliseconds |
| `{c07}:ended` | zset | finished run that is not yet archived → when it ended |
| `{c07}:archived` | zset | finished run that is archived and still here → when it was archived |
| `{c07}:attempt:<attempt>` | hash | claim, heartbeat, log size, exit; see `attempts` |
| `{c07}:attempt:<attempt>:tail` | string | the newest bytes of the log, not yet a segment |
| `{c07}:attempt:<attempt>:segments` | zset | segment `offset-length-crc` → offset |
| `{c07}:attempt:<attempt>:order` | list | of one on several nodes: `rank:bytes`, whose log grew how far, in turn |
| `{c07}:attempt:<attempt>:metrics` | list | the attempt's metric records, one JSON each |
| `{c07}:sandbox:<run>` | hash | of the run's commands: order, attempt that took it, outcome; see `sandboxes` |
| `{c07}:sandbox:<run>:queue` | list | calls that no pod has taken |
| `{c07}:sandbox:<run>:begun` | set | calls that a pod has taken and that have no outcome |
| `{t:<tenant>}:ledger` | hash | cap, spent, reserved, and what forgotten runs spent (`forgotten`), in microdollars |
| `{t:<tenant>}:holds` | hash | reservation id → microdollars |
| `{t:<tenant>}:forgetting` | hash | run that is being forgotten → microdollars that it spent |
| `{t:<tenant>}:restoring` | set | runs whose money is counted again while archives are restored |
| `{t:<tenant>}:gpus` | hash | attempt → GPUs that it holds of the tenant's quota |
| `{t:<tenant>}:gpus:waiting` | zset | attempt that waits for some → its submission time in seconds |
| `{keys}:<key id>` | hash | an API key's record; only the secret's hash |
| `{keys}:index` | set | all key ids |
| `{leader}:<role>` | hash | the leader's lease |
| `{pools}:states` | string | what the pools hold at the moment, one JSON |
| `{rosters}:<kind>` | set | the first names of a kind (`tenants`, `models`) that were seen; see `monitoring.rosters` |
"""

import re
import secrets
import zlib
from dataclasses import dataclass

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
ID_LENGTH = 12
_RANKED = re.compile(r"(.*)\.(0|[1-9][0-9]{0,4})")


def new_run_id() -> str:
    """A fresh run id: `r` and 12 characters of base 36 (62 bits)."""
    return "r" + "".join(secrets.choice(_ALPHABET) for _ in range(ID_LENGTH))


def run_id_from(digest: bytes) -> str:
    """The run id that belongs to a request: the same bytes (at least 8) give the same id."""
    number, chars = int.from_bytes(digest[:16], "big"), []
    for _ in range(ID_LENGTH):
        number, rest = divmod(number, 36)
        chars.append(_ALPHABET[rest])
    return "r" + "".join(chars)


def attempt_id(run: str, step: str, number: int) -> str:
    """The name of an attempt, also of its Kubernetes Job: `<run>-<step>-<number>`."""
    return f"{run}-{step}-{number}"


def run_of_attempt(attempt: str) -> str:
    """The run an attempt belongs to."""
    return attempt.split("-", 1)[0]


def step_of_attempt(attempt: str) -> str:
    """The step an attempt belongs to."""
    return attempt.split("-", 1)[-1].rpartition("-")[0]


def rank_id(attempt: str, rank: int) -> str:
    """The name under which one rank of an attempt on several nodes reports. Rank 0 reports as the attempt itself."""
    return f"{attempt}.{rank}" if rank else attempt


def split_rank(name: str) -> tuple[str, int]:
    """The attempt and the rank that report under a name; also of `<attempt>.0`."""
    found = _RANKED.fullmatch(name)
    return (found[1], int(found[2])) if found else (name, 0)


@dataclass(frozen=True)
class Keys:
    """Key names for a store with `shards` shard tags. The number is fixed at install: changing it loses every key."""

    shards: int = 16

    def tags(self) -> list[str]:
        """Every shard tag, for readers that merge."""
        return [f"{{c{number:02d}}}" for number in range(self.shards)]

    def tag(self, run: str) -> str:
        """The shard tag of a run and of everything that belongs to it."""
        return f"{{c{zlib.crc32(run.encode()) % self.shards:02d}}}"

    def run(self, run: str) -> str:
        return f"{self.tag(run)}:run:{run}"

    def events(self, run: str) -> str:
        return f"{self.run(run)}:events"

    def talk(self, run: str) -> str:
        return f"{self.run(run)}:talk"

    def seen(self, run: str) -> str:
        return f"{self.run(run)}:seen"

    def due(self, tag: str) -> str:
        return f"{tag}:due"

    def overdue(self, tag: str) -> str:
        return f"{tag}:overdue"

    def live(self, tag: str) -> str:
        return f"{tag}:live"

    def ended(self, tag: str) -> str:
        return f"{tag}:ended"

    def archived(self, tag: str) -> str:
        return f"{tag}:archived"

    def attempts(self, tag: str) -> str:
        return f"{tag}:attempts"

    def tenant(self, tag: str, tenant: str, status: str = "") -> str:
        return f"{tag}:tenant:{tenant}:{status}" if status else f"{tag}:tenant:{tenant}"

    def researches(self, tag: str, tenant: str, status: str = "") -> str:
        return f"{tag}:researches:{tenant}:{status}" if status else f"{tag}:researches:{tenant}"

    def attempt(self, attempt: str, part: str = "") -> str:
        name = f"{self.tag(run_of_attempt(attempt))}:attempt:{attempt}"
        return f"{name}:{part}" if part else name

    def sandbox(self, run: str, part: str = "") -> str:
        name = f"{self.tag(run)}:sandbox:{run}"
        return f"{name}:{part}" if part else name


def ledger(tenant: str) -> str:
    return f"{{t:{tenant}}}:ledger"


def holds(tenant: str) -> str:
    return f"{{t:{tenant}}}:holds"


def forgetting(tenant: str) -> str:
    return f"{{t:{tenant}}}:forgetting"


def restoring(tenant: str) -> str:
    return f"{{t:{tenant}}}:restoring"


def gpus(tenant: str) -> str:
    return f"{{t:{tenant}}}:gpus"


def gpus_waiting(tenant: str) -> str:
    return f"{{t:{tenant}}}:gpus:waiting"


def api_key(key_id: str) -> str:
    return f"{{keys}}:{key_id}"


API_KEY_INDEX = "{keys}:index"
POOL_STATES = "{pools}:states"


def roster(kind: str) -> str:
    return f"{{rosters}}:{kind}"


def leader(role: str) -> str:
    return f"{{leader}}:{role}"


def run_channel(run: str) -> str:
    """The pub/sub channel on which a run's new events and live observations are announced. A hint, never the truth."""
    return f"cohort:run:{run}"


COMMAND_QUEUED = "command"
"""Said on a run's channel when its sandbox has something to look at."""


CONTROLLER_CHANNEL = "cohort:controller"
