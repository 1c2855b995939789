"""Models: how fast they answer, how often they fail, what they cost."""

from deploy.grafana.board import Board, Section, labels, namespace, source
from deploy.grafana.panels import (
    COUNT,
    DOLLARS,
    PER_SECOND,
    SECONDS,
    SHARE,
    Limits,
    Panel,
    Query,
    bars,
    lines,
    number,
    rows,
)
from deploy.grafana.promql import quantile, rate, ratio, total

_MODEL = 'model=~"$model"'
_FAILED = f'{_MODEL}, result!="ok"'


def board() -> Board:
    return Board(
        uid="cohort-models",
        title="Cohort / Models",
        says="Every model that runs ask: latency, errors, tokens and cost.",
        sections=[Section("In the time shown", _totals()), Section("Over time", _over_time())],
        variables=[source(), namespace(), labels("model", "Model", "cohort_model_calls_total")],
    )


def _totals() -> list[Panel]:
    calls = total("cohort_model_calls_total", where=_MODEL)
    return [
        number("Calls", COUNT, Query(calls), says="Model calls that answered or failed."),
        number(
            "Calls that failed",
            SHARE,
            Query(ratio(total("cohort_model_calls_total", where=_FAILED), calls)),
            says="Failed calls are made again with a growing pause; after eight in a row the run ends.",
            limits=Limits(0.02, 0.1),
        ),
        number(
            "95 of 100 answers took less than",
            SECONDS,
            Query(f"histogram_quantile(0.95, {total('cohort_model_call_seconds_bucket', 'le', where=_MODEL)})"),
            says="The whole reply. Long replies are slow ones; the first token says whether the provider is.",
            limits=Limits(60, 180),
        ),
        number(
            "Prompt tokens from the cache",
            SHARE,
            Query(
                ratio(
                    total("cohort_model_tokens_total", where=f'{_MODEL}, kind="cache_read"'),
                    total("cohort_model_tokens_total", where=f'{_MODEL}, kind="prompt"'),
                )
            ),
            says="An agent's prompt grows at its end, so most of it should come from the provider's cache. A low "
            "share of a model that has one costs several times as much.",
        ),
        number(
            "Spent on models", DOLLARS, Query(total("cohort_model_dollars_total", where=_MODEL)), says="All tenants."
        ),
        number(
            "Dollars a run",
            DOLLARS,
            Query(ratio(total("cohort_model_dollars_total"), total("cohort_runs_ended_total"))),
            says="Model cost of the time shown by the runs that ended in it, whichever model they used.",
        ),
        rows(
            "By model",
            "model",
            {
                "calls": (COUNT, Query(total("cohort_model_calls_total", "model", where=_MODEL))),
                "failed": (COUNT, Query(total("cohort_model_calls_total", "model", where=_FAILED))),
                "prompt tokens": (
                    "short",
                    Query(total("cohort_model_tokens_total", "model", where=f'{_MODEL}, kind="prompt"')),
                ),
                "completion tokens": (
                    "short",
                    Query(total("cohort_model_tokens_total", "model", where=f'{_MODEL}, kind="completion"')),
                ),
                "dollars": (DOLLARS, Query(total("cohort_model_dollars_total", "model", where=_MODEL))),
            },
            says="The first fifty models by name, the others together as `other`.",
        ),
    ]


def _over_time() -> list[Panel]:
    return [
        lines(
            "Calls a second",
            PER_SECOND,
            Query(rate("cohort_model_calls_total", "model", where=_MODEL), "{{model}}"),
            says="Answered and failed ones.",
            stacked=True,
        ),
        lines(
            "Share of calls that failed",
            SHARE,
            Query(
                ratio(
                    rate("cohort_model_calls_total", "model", where=_FAILED),
                    rate("cohort_model_calls_total", "model", where=_MODEL),
                ),
                "{{model}}",
            ),
            says="Runs with a fallback model go on with it; the others wait. At 1 the provider is away, or the key "
            "is bad.",
            limits=Limits(0.1, 0.9),
        ),
        bars(
            "Why calls failed",
            COUNT,
            Query(f"{total('cohort_model_calls_total', 'result', where=_FAILED)} > 0", "{{result}}"),
            says="Auth and credit are for whoever holds the provider's account; rate limits for whoever asks for "
            "more quota.",
        ),
        lines(
            "Whole reply",
            SECONDS,
            Query(quantile(0.5, "cohort_model_call_seconds", "model", where=_MODEL), "{{model}}, half"),
            Query(quantile(0.95, "cohort_model_call_seconds", "model", where=_MODEL), "{{model}}, 95 of 100"),
            says="From the question to the end of the answer.",
        ),
        lines(
            "First token",
            SECONDS,
            Query(quantile(0.5, "cohort_model_first_token_seconds", "model", where=_MODEL), "{{model}}, half"),
            Query(quantile(0.95, "cohort_model_first_token_seconds", "model", where=_MODEL), "{{model}}, 95 of 100"),
            says="How long the provider lets the agent wait before it says anything. It rises when the provider is "
            "full.",
        ),
        lines(
            "Tokens",
            PER_SECOND,
            Query(rate("cohort_model_tokens_total", "kind", where=_MODEL), "{{kind}}"),
            says="In a second.",
        ),
        lines(
            "Dollars an hour, by model",
            DOLLARS,
            Query(f"3600 * {rate('cohort_model_dollars_total', 'model', where=_MODEL)}", "{{model}}"),
            says="At the present pace.",
            stacked=True,
        ),
        lines(
            "Dollars an hour, by tenant",
            DOLLARS,
            Query(f"3600 * {rate('cohort_model_dollars_total', 'tenant', where=_MODEL)}", "{{tenant}}"),
            says="At the present pace. A tenant that spends much more than it did: cohort runs names its runs.",
            stacked=True,
        ),
        lines(
            "What a turn takes besides the model and the tools",
            SECONDS,
            Query(quantile(0.5, "cohort_turn_overhead_seconds"), "half of the turns"),
            Query(quantile(0.95, "cohort_turn_overhead_seconds"), "95 of 100"),
            says="Cohort's own part: reading and writing the log, building the prompt. Tenths of a second at most.",
            limits=Limits(1),
        ),
    ]
