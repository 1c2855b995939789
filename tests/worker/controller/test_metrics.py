"""What a controller counts of its own."""

from dataclasses import replace
from pathlib import Path

import pytest

from services.core.lifecycle import Reason, Status
from services.core.monitoring.instruments import Registry
from services.worker.controller.loop import Controller, NotLeading
from services.worker.controller.metrics import ControllerMetrics
from services.worker.executors import Phase
from tests.core.submitted import accept_run, close_attempt
from tests.servers import wait_until
from tests.worker.controller.cloud import exit_record
from tests.worker.controller.conftest import Control, go_round
from tests.worker.controller.test_loop import controller, leadership


class Counted:
    """A controller's parts that count into one registry."""

    def __init__(self, control: Control) -> None:
        self.registry = Registry("controller")
        self.metrics = ControllerMetrics(self.registry)
        self.control = control

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.registry.value(f"cohort_{name}", labels)

    def controller(self, name: str = "one", lead: float = 30.0) -> Controller:
        made = controller(self.control, name, lead=lead)
        parts = {part: replace(getattr(made, part), metrics=self.metrics) for part in ("reconciler", "archivist")}
        return replace(made, metrics=self.metrics, **parts)


@pytest.fixture
def counted(control: Control) -> Counted:
    return Counted(control)


def test_who_leads_says_so_and_how_long_its_rounds_take(counted: Counted) -> None:
    one = counted.controller()
    assert (counted("controller_leading"), counted("controller_round_age_seconds")) == (0, 0)
    one.once()
    assert counted("controller_leading") == counted("controller_round_seconds_count") == 1
    assert wait_until(lambda: (counted("controller_round_age_seconds") or 0) > 0)


def test_who_stands_by_has_no_rounds_to_be_late_with(counted: Counted, control: Control) -> None:
    one = counted.controller()
    one.once()
    control.store.client.delete("{leader}:controller")
    assert leadership(control.store.client, "other").hold()
    one = replace(one, leadership=leadership(control.store.client, "one"))
    with pytest.raises(NotLeading):
        one.once()
    assert (counted("controller_leading"), counted("controller_round_age_seconds")) == (0, 0)
    assert counted("controller_round_seconds_count") == 1


def test_a_round_that_does_not_come_to_its_end_is_seen_by_its_age(counted: Counted) -> None:
    one = counted.controller()
    next(rounds := one._round())
    one._see_to_news()
    assert counted("controller_leading") == 1
    first = counted("controller_round_age_seconds") or 0
    assert wait_until(lambda: (counted("controller_round_age_seconds") or 0) > first)
    rounds.close()
    assert counted("controller_round_seconds_count") == 0


def test_runs_that_the_sweeper_names_are_counted(counted: Counted, control: Control) -> None:
    for _ in range(3):
        accept_run(control.store)
    one = counted.controller()
    one.once()
    one.once()
    assert counted("swept_runs_total") == 3


def test_archives_are_counted_with_those_that_fail(counted: Counted, control: Control, tmp_path: Path) -> None:
    runs = [control.accept(goal="y" * 20_000 + str(number)) for number in range(3)]
    for run in runs:
        control.move(run, Status.SUCCEEDED, reason=Reason.FINISHED)
    # What the first event of one refers to is gone.
    [entry] = control.store.client.xrange(control.store.keys.events(runs[0]), count=1)
    [path] = tmp_path.glob(f"artifacts/cas/*/{entry[1][b'data'].decode()[1:]}")
    path.unlink()
    go_round(counted.controller().archivist)
    assert (counted("archived_runs_total"), counted("archive_failures_total")) == (2, 1)


def test_what_goes_on_after_its_attempt_is_closed_is_counted_once(counted: Counted, control: Control) -> None:
    attempt = control.submit()
    control.cloud.set(attempt, Phase.RUNNING)
    close_attempt(control.store, attempt, "lost")
    reconciler = counted.controller().reconciler
    for _ in range(3):
        go_round(reconciler)
    assert control.cloud.cancelled == [attempt] * 3
    assert counted("orphans_removed_total", kind="closed") == 1
    control.cloud.set(attempt, Phase.FINISHED, exit_record(0))
    go_round(reconciler)
    assert control.cloud.removed == [attempt]
    assert counted("orphans_removed_total", kind="closed") == 1
    assert counted("orphans_removed_total", kind="unknown") == 0


def test_what_belongs_to_nobody_is_counted_once(counted: Counted, control: Control) -> None:
    for name, phase in (("rnobodys00000-train-1", Phase.RUNNING), ("rnobodys00000-train-2", Phase.FINISHED)):
        control.cloud.set(name, phase, exit_record(0) if phase is Phase.FINISHED else None)
    reconciler = counted.controller().reconciler
    for _ in range(3):
        go_round(reconciler)
    assert counted("orphans_removed_total", kind="unknown") == 2


def test_the_end_of_a_closed_attempt_is_no_orphan(counted: Counted, control: Control) -> None:
    attempt = control.submit()
    control.cloud.set(attempt, Phase.FINISHED, exit_record(0))
    control.report(attempt)
    reconciler = counted.controller().reconciler
    for _ in range(2):
        go_round(reconciler)
    assert control.cloud.removed == [attempt]
    assert counted("orphans_removed_total", kind="closed") == counted("orphans_removed_total", kind="unknown") == 0
