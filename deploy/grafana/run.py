"""Run: one run, from its log. Run ids are no labels, so none of this is asked of Prometheus."""

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana.board import Board, Section, Variable
from deploy.grafana.infinity import NUMBER, TIME, Answer, Column, answered, drawn, fact, source
from deploy.grafana.panels import BYTES, COUNT, DATE, DOLLARS, PERCENT, SECONDS, Panel

_RUN = "/v1/runs/${run}"


def board() -> Board:
    return Board(
        uid="cohort-run",
        title="Cohort / Run",
        says="One run: where it stands and why, its attempts, what its programs measured, its turns, its cost. The "
        "run's own links lead here.",
        sections=[
            Section("Where it stands", _standing()),
            Section("Attempts", _attempts()),
            Section("What the programs measured and used", _programs()),
            Section("Turns and cost", _turns()),
            Section("What happened last, and other runs", _log()),
        ],
        variables=[source(), _text("run", "Run", ""), _text("metric", "Other metrics", "accuracy")],
        since="now-24h",
    )


def _text(name: str, title: str, default: str) -> Variable:
    return builders.TextBoxVariable(name).label(title).default_value(default)


def _figure(selector: str, kind: str = NUMBER) -> Answer:
    return Answer(_RUN, (Column(selector, "value", kind),))


def _standing() -> list[Panel]:
    return [
        fact("Status", COUNT, _figure("status", "string"), says="needs_human: the agent asks; answer it."),
        fact("Turns taken", COUNT, _figure("turn"), says="Replies of the model so far."),
        fact("Spent", DOLLARS, _figure("spend.dollars"), says="Model calls and steps that are settled."),
        fact("Tokens", "short", _figure("spend.tokens"), says="Prompt and completion together."),
        fact("Accepted", DATE, Answer(_RUN, (Column("created", "value", TIME),)), says="When the goal came in."),
        fact("Exit code", COUNT, _figure("exit_code"), says="For CI; none while the run goes on by itself."),
        answered(
            "Why it is where it is, and what would change that",
            Answer(f"{_RUN}/why", (Column("here", "here"), Column("next", "next"))),
            says="What `cohort why` says.",
            width=12,
            height=5,
        ),
        answered(
            "The goal",
            Answer(
                _RUN,
                (
                    Column("goal", "goal"),
                    Column("model", "model"),
                    Column("reason", "reason"),
                    Column("detail", "detail"),
                    Column("summary", "summary"),
                ),
            ),
            says="What was asked, of which model, and what came of it.",
            width=12,
            height=5,
        ),
    ]


def _attempts() -> list[Panel]:
    columns = (
        Column("id", "attempt"),
        Column("status", "status"),
        Column("stage", "stage"),
        Column("pool", "pool"),
        Column("cause", "cause"),
        Column("submitted", "submitted", TIME),
        Column("started", "started", TIME),
        Column("seconds", "took", NUMBER, SECONDS),
        Column("cost_usd", "cost", NUMBER, DOLLARS),
        Column("exit_code", "exit code", NUMBER),
        Column("diagnosis.failure", "failure"),
        Column("diagnosis.summary", "what is wrong"),
        Column("peak_rss_bytes", "peak memory", NUMBER, BYTES),
    )
    return [
        answered(
            "Attempts",
            # The attempts of all steps in one list.
            Answer(f"{_RUN}/steps", columns, root="items.#.attempts|@flatten"),
            says="Every execution of every step. `infrastructure` as cause: the platform tried again by itself.",
        )
    ]


def _lines(text: str) -> Answer:
    columns = (
        Column("time", "time", TIME),
        Column("attempt", "attempt"),
        Column("name", "name"),
        Column("value", "value", NUMBER),
    )
    return Answer(f"{_RUN}/series", columns, root="items", params={"text": text}, over_time=True)


def _used(*columns: Column) -> Answer:
    return Answer(
        f"{_RUN}/usage",
        (Column("time", "time", TIME), Column("attempt", "attempt"), *columns),
        root="items",
        over_time=True,
    )


def _programs() -> list[Panel]:
    return [
        drawn(
            "Losses",
            COUNT,
            _lines("loss"),
            says="Every metric with `loss` in its name, of each attempt. A line that ends early: its program did. A "
            "gap: not a number.",
        ),
        drawn(
            "Other metrics",
            COUNT,
            _lines("${metric}"),
            says="Every metric with the text of the variable in its name.",
        ),
        drawn(
            "GPU and processor",
            PERCENT,
            _used(
                Column("gpu_percent", "GPU in use", NUMBER),
                Column("gpu_memory_percent", "memory of the fullest GPU", NUMBER),
                Column("cpu_percent", "CPU (100 is a core)", NUMBER),
            ),
            says="A GPU that is little used waits for data: more loaders, larger batches.",
        ),
        drawn(
            "Memory",
            BYTES,
            _used(Column("memory_bytes", "memory", NUMBER)),
            says="Of the program with its children. A line that only rises ends in the kernel's hands.",
        ),
    ]


def _turned(*columns: Column) -> Answer:
    return Answer(f"{_RUN}/turns", (Column("started", "time", TIME), *columns), root="items", over_time=True)


def _turns() -> list[Panel]:
    return [
        drawn(
            "Spent so far",
            DOLLARS,
            _turned(Column("spent_usd", "all", NUMBER), Column("cost_usd", "in this turn", NUMBER)),
            says="After each turn: model calls, researches, and attempts when they end.",
            width=8,
            points=True,
        ),
        drawn(
            "Tokens of each turn",
            "short",
            _turned(
                Column("prompt_tokens", "prompt", NUMBER),
                Column("cached_tokens", "of them cached", NUMBER),
                Column("completion_tokens", "completion", NUMBER),
            ),
            says="The prompt grows until old output is masked. Little of it cached: expensive.",
            width=8,
            points=True,
        ),
        drawn(
            "Time of each turn",
            SECONDS,
            _turned(Column("seconds", "all", NUMBER), Column("model_seconds", "the model's part", NUMBER)),
            says="A turn that waits for a step lasts as long as that.",
            width=8,
            points=True,
        ),
        answered(
            "Turns",
            Answer(
                f"{_RUN}/turns",
                (
                    Column("turn", "turn", NUMBER),
                    Column("started", "started", TIME),
                    Column("seconds", "took", NUMBER, SECONDS),
                    Column("model_seconds", "model", NUMBER, SECONDS),
                    Column("failed_calls", "failed calls", NUMBER),
                    Column("tools", "tools"),
                    Column("failed_tools", "failed tools", NUMBER),
                    Column("prompt_tokens", "prompt", NUMBER, "short"),
                    Column("completion_tokens", "completion", NUMBER, "short"),
                    Column("cost_usd", "cost", NUMBER, DOLLARS),
                ),
                root="items",
            ),
            says="One row for each reply of the model.",
        ),
    ]


def _log() -> list[Panel]:
    return [
        answered(
            "The newest events",
            Answer(
                f"{_RUN}/events",
                (
                    Column("seq", "seq", NUMBER),
                    Column("time", "time", TIME),
                    Column("turn", "turn", NUMBER),
                    Column("event_type", "event"),
                    Column("data.attempt", "attempt"),
                    Column("data.tool", "tool"),
                    Column("data.target", "target"),
                    Column("data.reason", "reason"),
                    Column("data.detail", "detail"),
                ),
                root="items",
                params={"after": "-200", "limit": "200"},
            ),
            says="The last two hundred of the run's log; `cohort events RUN` has all of it.",
            width=14,
            height=10,
        ),
        answered(
            "The newest runs",
            Answer(
                "/v1/runs",
                (
                    Column("run", "run"),
                    Column("status", "status"),
                    Column("created", "accepted", TIME),
                    Column("turn", "turns", NUMBER),
                    Column("spend.dollars", "spent", NUMBER, DOLLARS),
                    Column("goal", "goal"),
                ),
                root="items",
                params={"limit": "50"},
            ),
            says="Of the tenant whose key the data source has. A run's id leads to its dashboard.",
            width=10,
            height=10,
        ).override_by_name("run", [_to_its_dashboard()]),
    ]


def _to_its_dashboard() -> models.DynamicConfigValue:
    link = {"title": "Show this run", "url": "/d/cohort-run/run?var-run=${__value.raw}&${api:queryparam}"}
    return models.DynamicConfigValue("links", [link])
