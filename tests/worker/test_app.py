"""What a worker makes of its settings."""

from services.core.settings import WorkerSettings
from services.worker.app import sandbox_terms


def test_a_sandbox_asks_for_what_the_operator_gives_it() -> None:
    settings = WorkerSettings(
        sandbox_image="tools:1", sandbox_cpu=0.5, sandbox_memory_bytes=1 << 30, sandbox_idle_minutes=2, sandbox_hours=1
    )
    terms = sandbox_terms(settings)
    assert (terms.idle_seconds, terms.seconds) == (120, 3600)
    assert (terms.resources.image, terms.resources.cpu, terms.resources.memory) == ("tools:1", 0.5, 1 << 30)


def test_without_a_word_a_sandbox_is_what_a_step_is_that_says_nothing() -> None:
    resources = sandbox_terms(WorkerSettings()).resources
    assert (resources.image, resources.cpu, resources.memory) == ("", None, None)
