from dataclasses import replace

from services.core.spans import attempt_key, traceparent
from services.worker.executors.environment import program_environment
from tests.worker.executors.kubernetes.test_manifest import SPEC


def test_a_program_finds_the_span_that_it_is_part_of_unless_the_step_names_another() -> None:
    given = traceparent(SPEC.run, attempt_key(SPEC.attempt))
    assert program_environment(SPEC, "/cohort")["TRACEPARENT"] == given
    named = replace(SPEC, env={"TRACEPARENT": "00-other"})
    assert program_environment(named, "/cohort")["TRACEPARENT"] == "00-other"
