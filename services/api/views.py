"""What clients are shown: the stored records, with what programs would otherwise have to work out."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field, computed_field
from pydantic_core import to_json
from starlette.responses import Response

from services.core.apikeys import Scope
from services.core.lifecycle import Reason, Status
from services.core.observations import Metric, Progress
from services.core.records import MICRODOLLARS, Attempt, FileRef, RunState, Spend

RunName = Annotated[str, Field(examples=["rk3v9x2m4q8aa"])]
# What FastAPI takes as descriptions of answers, by status.
Responses = dict[int | str, dict[str, Any]]


class SpendView(Spend):
    """What a run has used."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens

    @computed_field  # type: ignore[prop-decorator]
    @property
    def dollars(self) -> float:
        """Model calls and steps together."""
        return self.microdollars / MICRODOLLARS


class RunView(RunState):
    """A run as it stands now."""

    spend: SpendView = SpendView()
    links: dict[str, str] = Field(description="Where to go on from here: paths of this API, and a Grafana's address.")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def exit_code(self) -> int | None:
        """The exit code for CI; null while the run goes on by itself."""
        return super().exit_code


class RunPage(BaseModel):
    """Some runs, newest first. The rest begins at `next_cursor`; null where there is none."""

    items: list[RunView]
    next_cursor: str | None = Field(examples=["MTc5MDAwMDAwMDAwMC1yazN2OXgybTRxOGFh"])


class Accepted(BaseModel):
    """The run that a goal became. The same for every repetition of the request."""

    run: RunName
    links: dict[str, str]


class Acknowledged(BaseModel):
    """What was asked for is on record."""

    run: RunName
    status: Status
    message_id: str | None = None


class EventView(BaseModel):
    """One entry of a run's log."""

    event_type: str = Field(examples=["status_changed"])
    data: Any = Field(examples=[{"source": "queued", "target": "running", "reason": "", "detail": ""}])
    run: RunName
    seq: int
    time: float = Field(description="Seconds since the epoch.")
    turn: int


class EventPage(BaseModel):
    """Events in order; go on with `after=next_after`."""

    items: list[EventView]
    next_after: int


class AttemptView(Attempt):
    """One execution of a step, with what is known of it while it lives."""

    progress: Progress | None = None
    metrics_count: int = 0
    metrics_dropped: int = 0
    heartbeat: float | None = None
    last_output: float | None = None
    warnings: list[str] = Field(default_factory=list)


class StepView(BaseModel):
    """A program the run executes, and every attempt at it."""

    name: str = Field(examples=["train"])
    cancelling: bool
    attempts: list[AttemptView]


class StepList(BaseModel):
    items: list[StepView]


class WhyView(BaseModel):
    """Where a run is and why (`here`), and what would change that (`next`); `text` is both as one paragraph."""

    run: RunName
    status: Status
    reason: Reason
    here: str = Field(examples=["Run rk3v9x2m4q8aa is parked and holds no worker: it waits for step train."])
    next: str = Field(examples=["The run goes on when it is over, when a message comes, or in 52 min 10 s."])
    text: str


class PoolView(BaseModel):
    """A group of like nodes. `max_…` is what it can grow to or give to one pod, the rest is what there is now.

    What is null cannot be seen. `gpus_free` and `cores_free`: not given to a step; what others run there is not known.
    """

    name: str = Field(examples=["a100-spot"])
    price_per_hour: float = Field(description="Dollars, of one GPU, or of one pod where it has none.")
    spot: bool = Field(description="Its nodes may be taken away at any time.")
    queue: str = Field(description="Kueue's LocalQueue that admits its pods.", examples=["gpus"])
    gpu_product: str = Field(examples=["NVIDIA A100"])
    gpu_memory: int | None = Field(description="Bytes of one GPU.")
    gpus_per_node: int
    max_nodes: int
    max_gpus: int
    max_cpu: float | None
    max_memory: int | None
    nodes: int | None = None
    gpus: int | None = None
    gpus_free: int | None = None
    cores: float | None = None
    cores_free: float | None = None
    running: int | None = Field(None, description="Attempts that have a node there.")
    queued: int | None = Field(None, description="Attempts that wait for one.")


class PoolList(BaseModel):
    """The pools in the order of the file; `age_seconds` is null before a controller has looked at them."""

    items: list[PoolView]
    age_seconds: float | None


class MetricPage(BaseModel):
    """Values in the order in which they came; go on with `start=next_start`, null at the end of what there is now."""

    attempt: str = Field(examples=["rk3v9x2m4q8aa-train-1"])
    items: list[Metric]
    next_start: int | None
    dropped: int


class ArtifactView(FileRef):
    """A file that the run made. `step` is null for what the agent handed over at the end."""

    step: str | None = Field(None, examples=["train"])


class ArtifactList(BaseModel):
    items: list[ArtifactView]


class EntryView(FileRef):
    """A file in a workspace; `mode` is 420 (rw-r--r--) or 493 (rwxr-xr-x)."""

    mode: int = Field(examples=[0o644])


class WorkspaceView(BaseModel):
    """One version of a run's files."""

    snapshot: str = Field(examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"])
    entries: list[EntryView]


class KeyView(BaseModel):
    """An API key without its secret."""

    id: str = Field(examples=["7f3k9x2m4q8a"])
    tenant: str = Field(examples=["acme"])
    name: str = Field(examples=["ci"])
    scopes: list[Scope]
    created: float
    revoked: float | None = None


class NewKey(KeyView):
    """An API key with the text that is shown this once: `secret` is what goes behind `Bearer`."""

    secret: str = Field(examples=["ck_7f3k9x2m4q8a_…"])


class KeyList(BaseModel):
    items: list[KeyView]


_LINKED = (
    "events",
    "messages",
    "cancel",
    "steps",
    "turns",
    "series",
    "usage",
    "artifacts",
    "workspace",
    "trace",
    "why",
)


def links(run: str) -> dict[str, str]:
    """Where a run's parts are."""
    base = f"/v1/runs/{run}"
    return {"self": base, **{part: f"{base}/{part}" for part in _LINKED}}


def dashboard(grafana_url: str, state: RunState) -> dict[str, str]:
    """Where the run's dashboard is, with the time that the run took; nothing where there is no Grafana."""
    if not grafana_url:
        return {}
    until = f"{state.ended * 1000:.0f}" if state.ended else "now"
    asked = f"var-run={state.run}&from={state.created * 1000:.0f}&to={until}"
    return {"dashboard": f"{grafana_url.rstrip('/')}/d/cohort-run/run?{asked}"}


def view(state: RunState, grafana_url: str = "") -> RunView:
    """The state as clients see it. The records inside are shared, not copied."""
    shown = {
        **dict(state),
        "spend": SpendView.model_construct(**dict(state.spend)),
        "links": links(state.run) | dashboard(grafana_url, state),
    }
    return RunView.model_construct(**shown)


def answer(
    body: BaseModel | Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """`body` as JSON, in one go and past FastAPI's second validation. What is no number is a string, or null."""
    data = body.model_dump_json().encode() if isinstance(body, BaseModel) else to_json(body, inf_nan_mode="strings")
    return Response(data, status, headers, "application/json")
