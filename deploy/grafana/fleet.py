"""Fleet: is the work taken and done, how long does it wait, what does it cost?"""

from deploy.grafana.board import Board, Section, namespace, source
from deploy.grafana.panels import COUNT, DOLLARS, PER_SECOND, SECONDS, SHARE, Limits, Panel, Query, lines, number
from deploy.grafana.promql import dollars, quantile, rate, ratio, state, total, worst

_LIVE = 'status=~"queued|running|waiting|needs_human|cancelling"'
_ALERTS = 'ALERTS{namespace=~"$namespace", alertname=~"Cohort.+", alertstate="firing"}'


def board() -> Board:
    return Board(
        uid="cohort-fleet",
        title="Cohort / Fleet",
        says="Whether goals are taken and come to something, how long they wait, and what they cost. Begin here.",
        sections=[
            Section("Now", _now()),
            Section("Runs", _runs()),
            Section("Steps", _steps()),
            Section("Cost", _cost()),
        ],
        variables=[source(), namespace()],
    )


def _now() -> list[Panel]:
    return [
        number(
            "Alerts that fire",
            COUNT,
            Query(f"count({_ALERTS}) or vector(0)"),
            says="Cohort's own alerts. Each has a runbook, linked from the alert.",
            limits=Limits(1, 3),
        ),
        number(
            "Runs at work",
            COUNT,
            Query(state("cohort_runs", where='status=~"running|waiting"')),
            says="Runs that a worker advances, or that wait for a step, a research or a model. Waiting holds no "
            "worker.",
        ),
        number(
            "Runs that wait for a person",
            COUNT,
            Query(state("cohort_runs", where='status="needs_human"')),
            says="The agent asked, or used up its attempts. Nothing goes on until somebody answers: cohort message "
            "RUN.",
            limits=Limits(1, 20),
        ),
        number(
            "Oldest run in the queue",
            SECONDS,
            Query(worst("cohort_runs_queued_oldest_seconds")),
            says="How long the run that waits longest for its first turn has waited. Above a minute there are too "
            "few workers, or they take no hints: look at Control plane.",
            limits=Limits(60, 300),
        ),
        number(
            "Runs that succeeded",
            SHARE,
            Query(
                ratio(total("cohort_runs_ended_total", where='status="succeeded"'), total("cohort_runs_ended_total"))
            ),
            says="Of the runs that ended in the time shown. Which reasons the others ended with is in Failures.",
            limits=Limits(0.8, 0.5, low=True),
        ),
        number(
            "Spent",
            DOLLARS,
            Query(dollars("increase")),
            says="Model calls and steps together, in the time shown.",
        ),
    ]


def _runs() -> list[Panel]:
    return [
        lines(
            "Runs by status",
            COUNT,
            Query(state("cohort_runs", "status", where=_LIVE), "{{status}}"),
            says="Runs that are not over. Queued ones that pile up mean that workers are missing or take nothing; "
            "many that wait are no harm.",
            stacked=True,
        ),
        lines(
            "Runs accepted and ended",
            PER_SECOND,
            Query(rate("cohort_runs_submitted_total"), "accepted"),
            Query(rate("cohort_runs_ended_total", "status"), "{{status}}"),
            says="In a second. More accepted than ended over hours: the fleet does not keep up.",
        ),
        lines(
            "Wait for the first turn",
            SECONDS,
            Query(quantile(0.5, "cohort_run_queue_seconds"), "half of the runs"),
            Query(quantile(0.95, "cohort_run_queue_seconds"), "95 of 100"),
            says="From the goal's acceptance until a worker takes the first turn. Seconds are usual.",
            limits=Limits(60),
        ),
        lines(
            "How long runs take",
            SECONDS,
            Query(quantile(0.5, "cohort_run_seconds", "status"), "{{status}}, half"),
            Query(quantile(0.95, "cohort_run_seconds", "status"), "{{status}}, 95 of 100"),
            says="From acceptance to end, by how they ended. Trainings are in it.",
        ),
        lines(
            "Turns",
            PER_SECOND,
            Query(rate("cohort_turns_total"), "turns"),
            Query(rate("cohort_tool_calls_total"), "tool calls"),
            says="Turns that ended in a second. None while runs are at work: models do not answer, or workers are "
            "stuck.",
        ),
        lines(
            "Agents that had to be put right",
            PER_SECOND,
            Query(rate("cohort_agent_nudges_total"), "went in circles"),
            Query(rate("cohort_completions_questioned_total"), "claimed what did not hold"),
            Query(rate("cohort_rules_refused_total"), "refused by a rule"),
            says="More than usual after a change of model or prompt: it suits the agent less.",
        ),
    ]


def _steps() -> list[Panel]:
    return [
        lines(
            "Attempts by stage",
            COUNT,
            Query(state("cohort_attempts", "stage", kept=("pool",)), "{{stage}}"),
            says="Live attempts. Many in `scheduling` or `queued`: the pools are full. Many in `pulling`: large "
            "images or a slow registry. `unknown`: the cluster does not answer.",
            stacked=True,
        ),
        lines(
            "Time in each stage before the program runs",
            SECONDS,
            Query(quantile(0.95, "cohort_attempt_stage_seconds", "stage", where='stage!="to_running"'), "{{stage}}"),
            says="95 of 100 attempts were no longer in it. It says where the time to running goes.",
        ),
        lines(
            "From submission to a running program",
            SECONDS,
            Query(quantile(0.5, "cohort_attempt_stage_seconds", where='stage="to_running"'), "half"),
            Query(quantile(0.95, "cohort_attempt_stage_seconds", where='stage="to_running"'), "95 of 100"),
            says="All stages together. Minutes on a full cluster are usual; Pools and tenants says which pool it is.",
        ),
    ]


def _cost() -> list[Panel]:
    return [
        lines(
            "Dollars an hour",
            DOLLARS,
            Query(f"3600 * {rate('cohort_model_dollars_total')}", "models"),
            Query(f"3600 * {rate('cohort_step_dollars_total')}", "steps"),
            says="At the present pace. A step is settled when its attempt ends, so long trainings come in peaks.",
        ),
        lines(
            "Tokens",
            PER_SECOND,
            Query(rate("cohort_model_tokens_total", "kind"), "{{kind}}"),
            says="In a second. `cache_read` should be most of `prompt`: otherwise the provider's cache is not used.",
        ),
        lines(
            "GPUs at work for steps, and in vain",
            COUNT,
            Query(rate("cohort_gpu_seconds_total", "outcome"), "{{outcome}}"),
            Query(rate("cohort_gpu_wasted_seconds_total"), "in vain"),
            says="GPU seconds a second, counted when attempts end. What was used in vain brought no result: "
            "attempts that failed, were lost or cancelled.",
        ),
    ]
