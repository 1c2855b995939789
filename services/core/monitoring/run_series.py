"""The series that follow from the runs' event logs. Whoever appends an event counts it.

`cohort_runs_…` are goals alone: the researches that runs begin are counted beside them. Models, tools and money are of
both.
"""

from services.core.monitoring.series import MOMENTS, Series, counter, histogram

EVENTS = counter("cohort_events_total", "Events appended to the runs' logs.", "type")

RUNS_SUBMITTED = counter("cohort_runs_submitted_total", "Goals accepted, a repeated one once.", "tenant")
RESEARCHES = counter("cohort_researches_total", "Researches that runs have begun.")
RUNS_ENDED = counter("cohort_runs_ended_total", "Runs that ended, and why.", "status", "reason")
RUN_QUEUE_SECONDS = histogram(
    "cohort_run_queue_seconds", "From a run's acceptance to the moment when a worker takes its first turn."
)
RUN_SECONDS = histogram("cohort_run_seconds", "From a run's acceptance to its end.", "status")

TURNS = counter("cohort_turns_total", "Turns begun.")
MODEL_CALLS = counter(
    "cohort_model_calls_total", "Calls of a model: `ok`, or the class of the failure.", "model", "result"
)
MODEL_CALL_SECONDS = histogram(
    "cohort_model_call_seconds",
    "From a model's call to its whole reply, of calls that were answered.",
    "model",
    buckets=(*MOMENTS, 120, 300, 600),
)
MODEL_FIRST_TOKEN_SECONDS = histogram(
    "cohort_model_first_token_seconds",
    "From a model's call to the first piece of its reply.",
    "model",
    buckets=(*MOMENTS, 120),
)
MODEL_TOKENS = counter(
    "cohort_model_tokens_total",
    "Tokens as the providers count them; `prompt` has those in it that came from a cache or went into one.",
    "model",
    "kind",
)
MODEL_DOLLARS = counter(
    "cohort_model_dollars_total", "Dollars that model calls cost, failed ones too.", "model", "tenant"
)

TOOL_CALLS = counter("cohort_tool_calls_total", "Tool calls answered.", "tool", "result")
RULES_REFUSED = counter("cohort_rules_refused_total", "Refusals of a step, or of an end, by a rule.", "rule")
AGENT_NUDGES = counter("cohort_agent_nudges_total", "Times an agent was told that it goes in circles.")
COMPLETIONS_QUESTIONED = counter(
    "cohort_completions_questioned_total", "Times an agent said that it was done and was told what speaks against it."
)

STEPS_SUBMITTED = counter(
    "cohort_steps_submitted_total",
    "Attempts wanted: by an `agent`, or by the platform in place of one that was lost (`infrastructure`).",
    "pool",
    "cause",
)
ATTEMPTS_ENDED = counter(
    "cohort_attempts_ended_total", "Attempts that are over, by what came of them.", "pool", "outcome"
)
ATTEMPT_FAILURES = counter(
    "cohort_attempt_failures_total", "Attempts that failed or were lost, by the class of the failure.", "class"
)
ATTEMPT_SECONDS = histogram(
    "cohort_attempt_seconds", "How long programs ran, of attempts that are over.", "pool", "outcome"
)
ATTEMPT_STAGE_SECONDS = histogram(
    "cohort_attempt_stage_seconds",
    "How long attempts were in each stage before their program ran; `to_running` is all of it.",
    "pool",
    "stage",
)
ATTEMPT_WARNINGS = counter("cohort_attempt_warnings_total", "Early warnings of programs that run.", "kind")
STEP_DOLLARS = counter("cohort_step_dollars_total", "Dollars that attempts cost.", "pool", "tenant")
GPU_SECONDS = counter(
    "cohort_gpu_seconds_total", "Seconds that programs ran, times their GPUs.", "pool", "tenant", "outcome"
)
GPU_WASTED_SECONDS = counter(
    "cohort_gpu_wasted_seconds_total", "The GPU seconds of attempts that did not succeed.", "pool", "why"
)
LOGS_INCOMPLETE = counter(
    "cohort_logs_incomplete_total", "Programs that are over and whose log is not known to be whole."
)
LOG_GAP_BYTES = counter("cohort_log_gap_bytes_total", "Bytes known to be missing from logs.")
CANCEL_SECONDS = histogram(
    "cohort_cancel_seconds", "From the wish that an attempt ends, or its run, to its end on record."
)
DIAGNOSIS_SECONDS = histogram(
    "cohort_diagnosis_seconds", "From a program's end to its end on record, with the reason if it failed."
)

ALL: tuple[Series, ...] = (
    EVENTS,
    RUNS_SUBMITTED,
    RESEARCHES,
    RUNS_ENDED,
    RUN_QUEUE_SECONDS,
    RUN_SECONDS,
    TURNS,
    MODEL_CALLS,
    MODEL_CALL_SECONDS,
    MODEL_FIRST_TOKEN_SECONDS,
    MODEL_TOKENS,
    MODEL_DOLLARS,
    TOOL_CALLS,
    RULES_REFUSED,
    AGENT_NUDGES,
    COMPLETIONS_QUESTIONED,
    STEPS_SUBMITTED,
    ATTEMPTS_ENDED,
    ATTEMPT_FAILURES,
    ATTEMPT_SECONDS,
    ATTEMPT_STAGE_SECONDS,
    ATTEMPT_WARNINGS,
    STEP_DOLLARS,
    GPU_SECONDS,
    GPU_WASTED_SECONDS,
    LOGS_INCOMPLETE,
    LOG_GAP_BYTES,
    CANCEL_SECONDS,
    DIAGNOSIS_SECONDS,
)
