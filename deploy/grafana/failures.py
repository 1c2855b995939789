"""Failures: what fails, why, where, and what it costs."""

from deploy.grafana.board import Board, Section, labels, namespace, source
from deploy.grafana.panels import COUNT, PER_SECOND, SHARE, Limits, Panel, Query, bars, lines, number
from deploy.grafana.promql import rate, ratio, total

_POOL = 'pool=~"$pool"'
_BAD = 'reason=~"poison|internal|step_infrastructure"'


def board() -> Board:
    return Board(
        uid="cohort-failures",
        title="Cohort / Failures",
        says="What fails and why: the class of each failure is that of docs/failures.md, with who can mend it.",
        sections=[
            Section("In the time shown", _totals()),
            Section("Attempts", _attempts()),
            Section("Runs and agents", _runs()),
        ],
        variables=[source(), namespace(), labels("pool", "Pool", "cohort_pool_waiting")],
        since="now-24h",
    )


def _totals() -> list[Panel]:
    ended = total("cohort_attempts_ended_total", where=_POOL)
    return [
        number(
            "Attempts that failed",
            SHARE,
            Query(ratio(total("cohort_attempts_ended_total", where=f'{_POOL}, outcome="failed"'), ended)),
            says="By their program's own doing. Some failures are part of the work; a sudden rise is not.",
            limits=Limits(0.4, 0.7),
        ),
        number(
            "Attempts that were lost",
            SHARE,
            Query(ratio(total("cohort_attempts_ended_total", where=f'{_POOL}, outcome="lost"'), ended)),
            says="Nodes, preemption, evictions. The platform tries them again by itself.",
            limits=Limits(0.05, 0.2),
        ),
        number(
            "Runs that the platform failed",
            COUNT,
            Query(total("cohort_runs_ended_total", where=_BAD)),
            says="Ended as poison, internal, or because of the steps' infrastructure: ours to look at, each of them.",
            limits=Limits(1, 5),
        ),
        number(
            "Runs that their model failed",
            COUNT,
            Query(total("cohort_runs_ended_total", where='reason=~"model_.+|context_exceeded"')),
            says="Key, credit, refusals or a provider that is away: look at Models.",
            limits=Limits(1, 5),
        ),
        number(
            "GPU time used in vain",
            SHARE,
            Query(
                ratio(
                    total("cohort_gpu_wasted_seconds_total", where=_POOL),
                    total("cohort_gpu_seconds_total", where=_POOL),
                )
            ),
            says="Of the GPU time of attempts that ended. Whose it was is in Pools and tenants.",
            limits=Limits(0.15, 0.3),
        ),
        number(
            "Logs that are not whole",
            COUNT,
            Query(total("cohort_logs_incomplete_total")),
            says="Attempts whose log has gaps or no end. The agent then reads less than there was.",
            limits=Limits(1, 10),
        ),
    ]


def _attempts() -> list[Panel]:
    return [
        bars(
            "Why attempts failed",
            COUNT,
            Query(f"{total('cohort_attempt_failures_total', 'class')} > 0", "{{class}}"),
            says="By class of failure. docs/failures.md says who can mend each, and what may help.",
        ),
        lines(
            "How attempts end",
            PER_SECOND,
            Query(rate("cohort_attempts_ended_total", "outcome", where=_POOL), "{{outcome}}"),
            says="In a second. `lost` in one burst: a node or a zone is gone.",
            stacked=True,
        ),
        lines(
            "Failures by class",
            PER_SECOND,
            Query(f"{rate('cohort_attempt_failures_total', 'class')} > 0", "{{class}}"),
            says="One class that rises by itself, in many runs at once: not the agents' doing. `image_pull`: the "
            "registry; `hardware`: a node; `network`: a proxy or a hub.",
            stacked=True,
        ),
        lines(
            "Share of attempts that did not succeed, by pool",
            SHARE,
            Query(
                ratio(
                    rate("cohort_attempts_ended_total", "pool", where=f'{_POOL}, outcome=~"failed|lost"'),
                    rate("cohort_attempts_ended_total", "pool", where=_POOL),
                ),
                "{{pool}}",
            ),
            says="One pool above the others: its nodes, its driver or its images.",
        ),
        lines(
            "Attempts that were tried again by the platform",
            PER_SECOND,
            Query(rate("cohort_steps_submitted_total", "pool", where=f'{_POOL}, cause="infrastructure"'), "{{pool}}"),
            says="Without a word to the agent. Spot pools have some all the time.",
        ),
        lines(
            "Early warnings",
            PER_SECOND,
            Query(f"{rate('cohort_attempt_warnings_total', 'kind')} > 0", "{{kind}}"),
            says="What was noticed while programs ran: not finite, diverging, plateau, no progress, GPU idle, memory.",
        ),
    ]


def _runs() -> list[Panel]:
    return [
        bars(
            "Why runs ended",
            COUNT,
            Query(f"{total('cohort_runs_ended_total', 'reason')} > 0", "{{reason}}"),
            says="`finished` is what is wanted. `tenant_budget`, `dollar_limit` and their like are limits that were "
            "set.",
        ),
        bars(
            "Rules that refused a step or an end",
            COUNT,
            Query(f"{total('cohort_rules_refused_total', 'rule')} > 0", "{{rule}}"),
            says="The rules of docs/rules.md. Often refused is no fault by itself: the agent is told, and does better.",
        ),
        lines(
            "Share of tool calls that failed, by tool",
            SHARE,
            Query(
                ratio(
                    rate("cohort_tool_calls_total", "tool", where='result="error"'),
                    rate("cohort_tool_calls_total", "tool"),
                ),
                "{{tool}}",
            ),
            says="A tool that always fails is broken; `bash` fails as often as what the agent tries in it.",
        ),
    ]
