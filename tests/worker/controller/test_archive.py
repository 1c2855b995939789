"""What is kept of a run when it is over."""

import gzip
import json
from pathlib import Path

from services.core import events as ev
from services.core.lifecycle import Reason, Status
from tests.core.submitted import close_attempt
from tests.worker.controller.conftest import Control, go_round


def ended(control: Control, run: str = "") -> str:
    run = run or control.accept()
    control.move(run, Status.SUCCEEDED, reason=Reason.FINISHED)
    return run


def archived(control: Control, run: str) -> list[dict[str, object]]:
    text = gzip.decompress(control.artifacts.get_named(f"archive/{run}/events.jsonl.gz")).decode()
    return [json.loads(line) for line in text.splitlines()]


def test_the_archive_is_the_log(control: Control) -> None:
    run = control.accept(goal="درّب نموذجًا\u2028🙂 " + "x" * 20_000)
    control.write(run, *(ev.AssistantChunk(content=f"piece {number}") for number in range(1_500)))
    ended(control, run)

    go_round(control.archivist)

    events = []
    while batch := control.store.events(run, after=len(events)):
        events += batch
    text = gzip.decompress(control.artifacts.get_named(f"archive/{run}/events.jsonl.gz")).decode()
    assert [json.loads(line) for line in text.split("\n")[:-1]] == [event.wire() for event in events]
    assert len(events) > 1_500
    state = json.loads(control.artifacts.get_named(f"archive/{run}/state.json"))
    assert (state["run"], state["status"], state["seq"]) == (run, "succeeded", len(events))


def test_a_run_is_archived_once_it_is_over_and_once_only(control: Control) -> None:
    run = control.accept()
    go_round(control.archivist)
    assert control.artifacts.list_named("archive/") == []

    ended(control, run)
    go_round(control.archivist)

    assert control.store.ended() == []
    before = control.artifacts.get_named(f"archive/{run}/events.jsonl.gz")
    control.archivist.archive(run)
    assert control.artifacts.get_named(f"archive/{run}/events.jsonl.gz") == before


def test_the_logs_of_its_attempts_stay_readable(control: Control) -> None:
    run = control.accept()
    attempt = control.submit(run)
    lines = b"".join(b"line %d\n" % number for number in range(1_000))
    control.logs.append(attempt, 0, lines)
    control.report(attempt, bytes=len(lines))
    close_attempt(control.store, attempt)
    ended(control, run)

    go_round(control.archivist)

    assert b"".join(control.logs.stream(attempt)) == lines
    assert archived(control, run)[-1]["event_type"] == "status_changed"


def test_a_run_that_cannot_be_archived_keeps_no_other_waiting(control: Control, tmp_path: Path) -> None:
    runs = [control.accept(goal="y" * 20_000 + str(number)) for number in range(3)]
    for run in runs:
        ended(control, run)
    # What the first event of the oldest run refers to is gone.
    broken = control.store.ended()[0]
    [entry] = control.store.client.xrange(control.store.keys.events(broken), count=1)
    digest = entry[1][b"data"].decode()[1:]
    [path] = tmp_path.glob(f"artifacts/cas/*/{digest}")
    path.unlink()

    go_round(control.archivist)

    assert control.store.ended() == [broken]
