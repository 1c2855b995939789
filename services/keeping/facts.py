"""What Redis says of one run at one moment: its fields, the ends of its log, and which indexes name it."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.core.keys import Keys
from services.core.lifecycle import Status
from services.core.redis import Client, run_script


@dataclass(frozen=True)
class Facts:
    """One run as it lies in Redis. `length`, `first` and `last` are of its log; `due`, `ended` and `archived` its
    scores there, None where it is in none; `listed` its score in each listing that names it."""

    run: str
    fields: Mapping[str, str]
    length: int = 0
    first: str = ""
    last: str = ""
    due: float | None = None
    ended: float | None = None
    archived: float | None = None
    listed: Mapping[str, float] = ()  # type: ignore[assignment]

    @property
    def seq(self) -> int:
        return int(self.fields.get("seq", "0"))

    @property
    def is_pruned(self) -> bool:
        return "pruned" in self.fields


def listings(keys: Keys, run: str, tenant: str) -> list[str]:
    """Every listing that could name a run of this tenant."""
    tag = keys.tag(run)
    kinds = (keys.tenant, keys.researches)
    return [listing(tag, tenant, status) for listing in kinds for status in ("", *Status)]


def facts_of(client: Client, keys: Keys, run: str, tenant: str) -> Facts:
    """What there is of the run; without fields where it is gone. Raises `StoreUnavailable`."""
    tag, possible = keys.tag(run), listings(keys, run, tenant)
    names = [keys.run(run), keys.events(run), keys.due(tag), keys.ended(tag), keys.archived(tag), *possible]
    fields, length, first, last, due, ended, archived, *scores = run_script(client, "verify_run", names, [run])
    pairs = [part.decode("utf-8", "replace") for part in fields]
    return Facts(
        run=run,
        fields=dict(zip(pairs[::2], pairs[1::2], strict=True)),
        length=length,
        first=first.decode(),
        last=last.decode(),
        due=_score(due),
        ended=_score(ended),
        archived=_score(archived),
        listed={name: float(score) for name, score in zip(possible, scores, strict=True) if score},
    )


def _score(text: bytes) -> float | None:
    return float(text) if text else None
