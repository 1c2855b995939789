"""The settings of every service: one frozen class each, read from `COHORT_…` variables once, in `__main__`.

Parts receive values, never settings. A `COHORT_…` variable that no service knows is an error at start: a typo must not
silently mean the default. Nothing else in Cohort reads the environment.
"""

import os
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.core.errors import BadRequest

PREFIX = "COHORT_"


class SharedSettings(BaseSettings):
    """What every service but the runner needs."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    redis_url: str = Field(
        "redis://127.0.0.1:6379/0", description="The Redis that holds all state; redis+sentinel:// too."
    )
    redis_cluster: bool = Field(False, description="The state's Redis is a Redis Cluster.")
    broker_url: str = Field("redis://127.0.0.1:6379/1", description="A plain Redis, or Sentinels, for hints.")
    shards: int = Field(16, ge=1, le=99, description="Shard tags. Fixed at install: changing it loses every key.")
    artifact_url: str = Field("file:///var/lib/cohort/artifacts", description="fsspec URL of the artifact store.")
    executor: Literal["local", "kubernetes"] = Field("local", description="Where attempts run.")
    pools_file: Path | None = Field(None, description="YAML file of the pools; none: one pool, without GPUs.")
    local_price_per_hour: float = Field(0.0, ge=0, description="Dollars an hour of the local executor costs.")
    metrics_host: str = Field("", description="Where worker and controller answer Prometheus; empty: everywhere.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe level logged.")
    log_format: Literal["json", "console"] = Field("json", description="How log lines look.")
    traces_url: str = Field(
        "", description="Where spans go, by OTLP over HTTP: http://…:4318/v1/traces; empty: nowhere."
    )
    traces_headers: SecretStr = Field(SecretStr(""), description="Headers for it: name=value,name=value.")
    traces_ratio: float = Field(1.0, ge=0, le=1, description="The part of all runs that is traced.")


class ApiSettings(SharedSettings):
    """The REST API and the runner's ingest."""

    api_host: str = Field("127.0.0.1", description="Address to listen on.")
    api_port: int = Field(8470, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    runner_secret: SecretStr = Field(description="Signs the runner's attempt tokens; the controller has the same.")
    first_key: SecretStr = Field(SecretStr(""), description="A key that is good while it is set here; it makes others.")
    first_tenant: str = Field("default", description="The tenant of that key.")
    model: str = Field("", description="The model of goals that name none.")
    grafana_url: str = Field("", pattern=r"^(https?://\S+)?$", description="Grafana with our dashboards; empty: none.")
    max_body_bytes: int = Field(64 * 2**20, ge=2**20, description="Largest request body.")


class WorkerSettings(SharedSettings):
    """The agent's turns."""

    state_dir: Path = Field(Path("/var/lib/cohort/state"), description="Where `bash` has its copies of workspaces.")
    worker_slots: int = Field(32, ge=1, le=512, description="Runs advanced at once by this process.")
    lease_seconds: float = Field(10.0, ge=1, description="A lease not renewed for so long is over.")
    slice_turns: int = Field(10, ge=1, description="Turns after which a run yields its slot.")
    slice_seconds: float = Field(240.0, ge=1, description="Seconds after which a run yields its slot.")
    worker_metrics_port: int = Field(0, ge=0, le=65535, description="Port of /metrics and /healthz; 0 is off.")
    sandbox_image: str = Field("", description="Image of sandboxes; empty: that of steps that name none.")
    sandbox_cpu: float | None = Field(None, gt=0, description="Most cores of a sandbox; none: one, or more if free.")
    sandbox_memory_bytes: int | None = Field(None, ge=2**26, description="A sandbox's memory; none: 4 GiB.")
    sandbox_idle_minutes: float = Field(15.0, gt=0, description="A sandbox without a command for so long ends.")
    sandbox_hours: float = Field(4.0, gt=0, description="A sandbox as old as this takes no more commands.")
    cost_line_dollars: float = Field(5.0, gt=0, description="Steps that could cost more must keep more rules.")
    research_turns: int = Field(20, ge=1, le=10_000, description="Most turns of one research.")
    research_minutes: float = Field(30.0, gt=0, description="Most minutes of one research.")
    research_tokens: int = Field(500_000, ge=1, description="Most tokens of one research, out of its run's.")
    research_dollars: float | None = Field(None, gt=0, description="Most dollars; none: half of what its run has left.")
    tools_file: Path | None = Field(None, description="YAML file of what tools may reach outside; none: the internet.")
    tools_cache_bytes: int = Field(2**30, ge=0, description="Most disk for what tools have fetched.")
    hub_url: str = Field(
        "https://huggingface.co",
        validation_alias=AliasChoices(f"{PREFIX}HUB_URL", "HF_ENDPOINT"),
        description="The Hub; HF_ENDPOINT says it too.",
    )
    datasets_server_url: str = Field("https://datasets-server.huggingface.co", description="Its data set viewer.")
    arxiv_url: str = Field("https://arxiv.org", description="arXiv.")
    semantic_scholar_url: str = Field("https://api.semanticscholar.org", description="Semantic Scholar's API.")
    github_url: str = Field("https://api.github.com", description="GitHub's API.")
    search_url: str = Field("https://html.duckduckgo.com/html", description="Where the web is searched.")
    model_base_url: str = Field("", description="Base URL of an OpenAI-compatible server; empty: the provider's own.")
    model_api_key: SecretStr = Field(SecretStr(""), description="Key for it; empty: the provider's own variable.")
    model_first_byte_seconds: float = Field(60.0, gt=0, description="Longest wait for the reply to begin.")
    model_idle_seconds: float = Field(120.0, gt=0, description="Longest pause within a reply.")
    model_total_seconds: float = Field(600.0, gt=0, description="Longest reply.")
    model_max_tokens: int = Field(8192, ge=16, description="Most completion tokens asked for in one reply.")
    model_window_tokens: int | None = Field(None, ge=4_096, description="The model's window; none: litellm's table.")
    model_retry_seconds: float = Field(5.0, gt=0, description="First back-off after a failed call; it doubles.")
    price_prompt: float | None = Field(None, ge=0, description="Dollars per million prompt tokens, if not known.")
    price_completion: float | None = Field(None, ge=0, description="Dollars per million completion tokens.")
    price_cached: float | None = Field(None, ge=0, description="Dollars per million cached prompt tokens.")


class ControllerSettings(SharedSettings):
    """Sweeps, attempts, archives."""

    state_dir: Path = Field(Path("/var/lib/cohort/state"), description="Where the local executor keeps attempts.")
    api_url: str = Field("http://127.0.0.1:8470", description="The API as the runner reaches it.")
    runner_secret: SecretStr = Field(description="Signs the runner's attempt tokens; the API has the same.")
    sweep_seconds: float = Field(1.0, gt=0, description="Pause between two sweeps.")
    leader_seconds: float = Field(6.0, ge=1, description="A leader silent for so long is replaced.")
    finish_seconds: float = Field(60.0, gt=0, description="How long an exited attempt may take to ship its log.")
    cancel_grace_seconds: float = Field(10.0, ge=0, description="Between SIGTERM and SIGKILL of a program.")
    controller_metrics_port: int = Field(0, ge=0, le=65535, description="Port of /metrics and /healthz; 0 is off.")
    retention_days: float | None = Field(
        None, ge=0, description="Archived runs leave Redis after so long; none: never."
    )
    orphan_seconds: float = Field(60.0, ge=0, description="What runs for a run nobody knows is ended after so long.")
    kubeconfig: Path | None = Field(None, description="The cluster that runs steps; none: the one we are a pod of.")
    kubernetes_namespace: str = Field("cohort-steps", description="The steps' namespace, no other install's.")
    runner_image: str = Field("", description="Image of the runner, beside every program.")
    step_image: str = Field("", description="Image of steps that name none.")
    step_disk_bytes: int = Field(50 * 2**30, ge=2**20, description="Most a step may keep on its node's disk.")
    image_pull_secret: str = Field("", description="Secret in that namespace with a registry's credentials.")
    jobs_in_flight: int = Field(2000, ge=1, description="Most Jobs at once.")
    jobs_in_flight_per_tenant: int = Field(1000, ge=1, description="Most Jobs of one tenant at once.")
    jobs_per_second: float = Field(20.0, gt=0, description="Jobs made each second.")
    jobs_burst: int = Field(50, ge=1, description="Jobs made at once before that rate holds.")


class AttemptSettings(BaseSettings):
    """What every process beside a program knows: its attempt, and where the API is."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    attempt: str = Field(description="The attempt's id.")
    api_url: str = Field(description="The API, for the ingest.")
    token_file: Path | None = Field(None, description="File with the attempt's token; none: first line of stdin.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe level logged.")


class RunnerSettings(AttemptSettings):
    """The sidecar of one attempt."""

    pod_uid: str = Field(description="Identity of this execution; the first to claim wins.")
    spool_dir: Path = Field(description="The directory shared with the shim.")
    output_dir: Path = Field(description="The directory whose files are the step's outputs.")
    checkpoint_dir: Path | None = Field(None, description="The checkpoint directory; none: no versions are kept.")
    checkpoint_quiet_seconds: float = Field(3.0, gt=0, description="A checkpoint left alone for so long is whole.")
    work_dir: Path | None = Field(None, description="Where a sandbox's commands run.")
    private_dir: Path | None = Field(None, description="What a sandbox's commands cannot reach; none: no sandbox.")
    heartbeat_seconds: float = Field(2.0, gt=0, description="Pause between two heartbeats.")
    memory_limit_bytes: int | None = Field(None, ge=1, description="What the program may use; none: nobody knows.")
    stay: bool = Field(False, description="Wait for SIGTERM at the end: a pod's sidecar that ends is started again.")


class LaySettings(AttemptSettings):
    """What fills the directories of one attempt before its program starts."""

    work_dir: Path = Field(description="Where the program runs; the workspace is laid here.")
    input_dir: Path = Field(description="Where the outputs of the steps it uses are laid.")
    checkpoint_dir: Path = Field(description="Where the newest checkpoint is laid.")
    carried_dir: Path | None = Field(None, description="The shim with its interpreter; none: it is not copied.")
    rt_dir: Path | None = Field(None, description="Where the program's container finds the shim.")


class ClientSettings(BaseSettings):
    """The command line as a client, and what `cohort up` starts."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    url: str = Field("", description="The API to talk to; empty: what `cohort up` wrote down.")
    key: SecretStr = Field(SecretStr(""), description="The API key; empty: what `cohort up` wrote down.")
    home: Path = Field(Path("~/.cohort"), description="Where `cohort up` keeps state and its local key.")
    model: str = Field("", description="The model of goals that name none.")


class AdminSettings(BaseSettings):
    """Whoever looks after an install: where its state is."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    redis_url: str = Field("", description="The Redis that holds all state; empty: what `cohort up` wrote down.")
    redis_cluster: bool = Field(False, description="The state's Redis is a Redis Cluster.")
    shards: int = Field(16, ge=1, le=99, description="Shard tags, as the install began with.")
    artifact_url: str = Field("", description="fsspec URL of the artifact store; empty: what `cohort up` wrote down.")
    home: Path = Field(Path("~/.cohort"), description="Where `cohort up` keeps state.")


_ALL: tuple[type[BaseSettings], ...] = (
    ApiSettings,
    WorkerSettings,
    ControllerSettings,
    RunnerSettings,
    LaySettings,
    ClientSettings,
    AdminSettings,
)
# Given to the user's program by the executors; a step that runs `cohort` must not trip over them.
_GIVEN_TO_STEPS = frozenset({"RUN", "STEP", "SEED", "OUTPUT_DIR", "INPUT_DIR", "CHECKPOINT_DIR"})

S = TypeVar("S", bound=BaseSettings)


def variable(name: str) -> SecretStr | None:
    """The value of a variable that an operator's file names, where it is set."""
    value = os.environ.get(name)
    return SecretStr(value) if value else None


def load(kind: type[S]) -> S:
    """Read one service's settings. Raises `BadRequest` that names the variable and what is wrong with it."""
    known = {name.upper() for settings in _ALL for name in settings.model_fields} | _GIVEN_TO_STEPS
    strangers = sorted(
        name for name in os.environ if name.startswith(PREFIX) and name.removeprefix(PREFIX).upper() not in known
    )
    if strangers:
        raise BadRequest(f"no service knows {', '.join(strangers)}: mend the name or unset it", field=strangers[0])
    try:
        return kind()
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + str(first["loc"][0]).upper()
        raise BadRequest(f"{name}: {first['msg']}", field=name) from error
