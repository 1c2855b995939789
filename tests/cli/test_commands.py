"""The commands against the real API."""

import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from services.core import events as ev
from services.core.artifacts import ArtifactStore
from services.core.keys import Keys
from services.core.lifecycle import Reason, Status
from services.core.logs import LogStore
from services.core.needs import Needs
from services.core.records import FileRef, PlanItem
from services.core.redis import Client
from services.core.store import RunStore
from tests.cli.api import ApiProcess, Story
from tests.cli.conftest import Cohort


def test_submit_prints_the_id_and_nothing_else(api: ApiProcess, cohort: Cohort, store: RunStore) -> None:
    result = cohort("submit", "train it", "--limit", "turns=50", "--limit", "dollars=2.5", "--label", "team=vision")
    assert (result.code, result.err) == (0, "")
    state = store.state(result.out.strip())
    assert (state.goal, state.model, state.labels) == ("train it", "scripted/hello", {"team": "vision"})
    assert (state.limits.turns, state.limits.dollars) == (50, 2.5)


def test_submit_reads_a_file_and_options_win(api: ApiProcess, cohort: Cohort, store: RunStore, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("1,2\n")
    file = tmp_path / "goal.yaml"
    file.write_text(
        "goal: |\n  数字を分類して\nmodel: scripted/a\ninputs: [data]\n"
        "limits: {turns: 5, minutes: 60}\nlabels: {stage: 1}\nresources: {cpu: 500m, memory: 4Gi}\n"
    )
    options = ("--model", "scripted/b", "--limit", "turns=7", "--resource", "memory=8Gi", "--resource", "pool=local")
    result = cohort("submit", "--file", str(file), *options, "--json")
    assert result.code == 0, result.err
    state = store.state(json.loads(result.out)["run"])
    assert (state.goal, state.model, state.labels) == ("数字を分類して", "scripted/b", {"stage": "1"})
    assert (state.limits.turns, state.limits.minutes) == (7, 60)
    assert state.resources == Needs(cpu=0.5, memory=8 << 30, pool=("local",))
    assert cohort("workspace", state.run).out == "4 B  data/a.csv\n"


def test_rules_and_models_come_from_the_file_and_from_options(
    api: ApiProcess, cohort: Cohort, store: RunStore, tmp_path: Path
) -> None:
    (tmp_path / "test.csv").write_text("1")
    (tmp_path / "goal.yaml").write_text(
        "goal: train it\nfallback_model: scripted/b\neffort: low\ninputs: [test.csv]\n"
        "rules: {waived: {seeds: all the same}, cost_line_dollars: 3}\n"
    )
    options = ("--without-rule", "batch=one at a time", "--evaluation-data", "test.csv", "--effort", "high")

    result = cohort("submit", "--file", str(tmp_path / "goal.yaml"), *options)

    assert result.code == 0, result.err
    run = result.out.strip()
    state = store.state(run)
    assert state.rules.waived == {"seeds": "all the same", "batch": "one at a time"}
    assert (state.rules.cost_line_dollars, state.rules.evaluation_data) == (3.0, ("test.csv",))
    assert (state.fallback_model, state.effort) == ("scripted/b", "high")
    shown = cohort("show", run).out
    assert "no rule   seeds: all the same" in shown
    assert "cost line $3.00" in shown
    assert "kept back test.csv" in shown
    assert "effort high, else scripted/b" in shown


def test_inputs_arrive_as_they_are(
    api: ApiProcess, cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "src" / "run.sh").chmod(0o755)
    (tmp_path / "blob.bin").write_bytes(bytes(range(256)) * 5000)
    run = cohort("submit", "use these", "--input", "src", "--input", "blob.bin").out.strip()
    got = cohort("workspace", run, "get", "-o", "got")
    assert (got.code, got.err) == (0, "cohort: got/ (2 files)\n")
    assert (tmp_path / "got" / "blob.bin").read_bytes() == (tmp_path / "blob.bin").read_bytes()
    assert (tmp_path / "got" / "src" / "run.sh").stat().st_mode & 0o100
    again = cohort("workspace", run, "get", "-o", "got")
    assert (again.code, "not empty" in again.err) == (2, True)
    assert cohort("workspace", run, "get", "-o", "got.tar.gz").code == 0
    with tarfile.open("got.tar.gz") as archive:
        assert archive.getnames() == ["blob.bin", "src/run.sh"]


def test_the_same_idempotency_key_is_the_same_run(api: ApiProcess, cohort: Cohort) -> None:
    first = cohort("submit", "train it", "--idempotency-key", "ci-1")
    assert cohort("submit", "train it", "--idempotency-key", "ci-1").out == first.out
    other = cohort("submit", "something else", "--idempotency-key", "ci-1")
    assert (other.code, "Idempotency-Key" in other.err) == (2, True)


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.FINISHED, 0),
        (Reason.MODEL_REFUSED, 1),
        (Reason.MODEL_UNAVAILABLE, 3),
        (Reason.CANCELLED_BY_USER, 4),
        (Reason.DEADLINE, 5),
        (Reason.DOLLAR_LIMIT, 6),
        (Reason.MODEL_CREDIT, 6),
        (Reason.ASKED, 7),
    ],
)
def test_following_a_run_ends_with_its_exit_code(story: Story, cohort: Cohort, reason: Reason, code: int) -> None:
    story.begin()
    story.end(reason)
    assert cohort("events", story.run, "-f").code == code


def test_waiting_for_a_run_prints_one_line_or_one_document(api: ApiProcess, cohort: Cohort, store: RunStore) -> None:
    run = cohort("submit", "train it", "--idempotency-key", "w").out.strip()
    story = Story(store, run)
    story.begin()
    story.end(Reason.DEADLINE)
    waited = cohort("submit", "train it", "--idempotency-key", "w", "--wait")
    assert waited.code == 5
    assert waited.out.startswith(f"{run}  timed_out  deadline")
    document = cohort("submit", "train it", "--idempotency-key", "w", "--wait", "--json")
    assert json.loads(document.out)["exit_code"] == 5


def test_events_as_json_are_one_event_a_line(story: Story, cohort: Cohort) -> None:
    story.begin()
    story.tell(ev.AssistantMessage(content="two\nlines \u2028 \x1b[31m"))
    story.end()
    for options in ([], ["-f"]):
        result = cohort("events", story.run, "--json", *options)
        events = [json.loads(line) for line in result.out.split("\n")[:-1]]
        assert [event["seq"] for event in events] == [1, 2, 3, 4]
        assert events[2]["data"]["content"] == "two\nlines \u2028 \x1b[31m"
    later = cohort("events", story.run, "--json", "--after", "3")
    assert [json.loads(line)["seq"] for line in later.out.splitlines()] == [4]


def test_events_for_a_person(story: Story, cohort: Cohort) -> None:
    story.begin()
    story.tell(ev.AssistantMessage(content="I look \x1b[2Jat it."))
    story.end()
    out = cohort("events", story.run).out
    assert f"● run {story.run}" in out
    assert "I look at it.\n" in out
    assert "● running → succeeded  finished\n" in out


def test_runs_are_listed_newest_first_and_filtered(api: ApiProcess, cohort: Cohort) -> None:
    runs = [cohort("submit", f"goal {number}", "--label", f"n={number}").out.strip() for number in range(3)]
    table = cohort("runs").out.splitlines()
    assert table[0].split() == ["RUN", "STATUS", "ACCEPTED", "TURN", "SPENT", "GOAL"]
    assert [line.split()[0] for line in table[1:]] == runs[::-1]
    assert [item["run"] for item in json.loads(cohort("runs", "--label", "n=1", "--json").out)["items"]] == [runs[1]]
    assert json.loads(cohort("runs", "--status", "succeeded", "--json").out) == {"items": []}
    assert len(json.loads(cohort("runs", "--limit", "2", "--json").out)["items"]) == 2
    assert "goal 2" in cohort("runs", "--text", "goal 2").out
    assert cohort("runs", "--text", "nothing like this").err == "cohort: no runs like that\n"


def test_show_says_where_a_run_stands(story: Story, cohort: Cohort) -> None:
    story.begin()
    story.tell(ev.PlanUpdate(plan=[PlanItem(id="1", content="look at the data", status="in_progress")]))
    story.finish_attempt(story.submit_step(), outcome="failed", exit_code=1)
    story.submit_step(number=2)
    story.move(Status.RUNNING, Status.NEEDS_HUMAN, Reason.ASKED, "which data?")
    out = cohort("show", story.run).out
    for part in (
        "needs_human  asked: which data?",
        "[>] look at the data",
        "attempt 1 failed after 1.0 s: exit code 1",
    ):
        assert part in out
    assert "attempt 2 submitted" in out
    assert f'answer with: cohort message {story.run} "…"' in out
    assert json.loads(cohort("show", story.run, "--json").out)["exit_code"] == 7


def test_why_says_it_in_a_paragraph(story: Story, cohort: Cohort) -> None:
    story.begin()

    shown = cohort("why", story.run)

    assert (shown.code, shown.err) == (0, "")
    assert f"Run {story.run} is in turn 0 of at most 300" in shown.out.replace("\n", " ")
    assert json.loads(cohort("why", story.run, "--json").out)["status"] == "running"


def test_a_message_and_a_cancel_reach_the_run(story: Story, cohort: Cohort, store: RunStore) -> None:
    assert cohort("message", story.run, "use less data").code == 0
    assert cohort("cancel", story.run, "--why", "no longer needed").code == 0
    told = [event.data for event in store.events(story.run)]
    assert [data.content for data in told if isinstance(data, ev.MessageReceived)] == ["use less data"]
    assert [data.why for data in told if isinstance(data, ev.CancelRequested)] == ["no longer needed"]


def test_logs_are_copied_byte_for_byte(
    story: Story, cohort: Cohort, client: Client, keys: Keys, artifacts: ArtifactStore, command: list[str]
) -> None:
    logs = LogStore(client, keys, artifacts)
    story.begin()
    first = story.submit_step()
    logs.append(first, 0, b"boom\n")
    story.finish_attempt(first, outcome="failed", exit_code=1)
    second = story.submit_step(number=2)
    written = b"".join(b"epoch=%d loss=0.5\r" % number for number in range(100_000)) + b"\xff\x00"
    for start in range(0, len(written), 500_000):
        logs.append(second, start, written[start : start + 500_000])
    story.finish_attempt(second)
    assert cohort("logs", story.run, "train", "--attempt", "1").out == "boom\n"
    for options in ([], ["-f"]):
        copied = subprocess.run([*command, "logs", story.run, "train", *options], capture_output=True, check=True)
        assert copied.stdout == written


def test_the_logs_of_ranks_are_copied_apart_or_line_by_line(
    story: Story, cohort: Cohort, client: Client, keys: Keys, artifacts: ArtifactStore, command: list[str]
) -> None:
    logs = LogStore(client, keys, artifacts)
    story.begin()
    attempt = story.submit_step(nodes=2)
    logs.append(attempt, 0, b"a\n" * 500_000)
    logs.append(f"{attempt}.1", 0, b"x\ny")
    story.finish_attempt(attempt)
    assert cohort("logs", story.run, "train", "--rank", "1").out == "x\ny"
    for options in ([], ["-f"]):
        copied = subprocess.run([*command, "logs", story.run, "train", *options], capture_output=True, check=True)
        assert copied.stdout == b"[rank 0] a\n" * 500_000 + b"[rank 1] x\n[rank 1] y\n"


def test_artifacts_are_listed_and_fetched(
    story: Story, cohort: Cohort, artifacts: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = bytes(range(256)) * 1000
    file = FileRef(path="deep/model 1.npz", sha256=artifacts.put(model), size=len(model))
    story.begin()
    assert cohort("artifacts", story.run).err == f"cohort: {story.run} has made nothing yet\n"
    story.finish_attempt(story.submit_step(), outputs=[file])
    assert cohort("artifacts", story.run).out == "256.0 KB  train/deep/model 1.npz\n"
    got = cohort("artifacts", story.run, "get", "train/deep/model 1.npz")
    assert (got.code, "sha256" in got.err) == (0, True)
    assert (tmp_path / "model 1.npz").read_bytes() == model
    assert "there already" in cohort("artifacts", story.run, "get", "train/deep/model 1.npz").err
    assert cohort("artifacts", story.run, "get", "train/deep/model 1.npz", "-o", "b.npz").code == 0
    assert (tmp_path / "b.npz").read_bytes() == model
    missing = cohort("artifacts", story.run, "get", "nope")
    assert (missing.code, "no artifact 'nope'" in missing.err) == (2, True)


def test_keys_are_made_used_and_revoked(api: ApiProcess, cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cohort("keys", "create", "ci", "--scope", "read", "--json")
    key = json.loads(made.out)
    assert "ci" in cohort("keys", "list").out
    admin = cohort("keys", "create", "plain").out.strip()
    assert admin.startswith("ck_")
    with monkeypatch.context() as reader:
        reader.setenv("COHORT_KEY", key["secret"])
        assert cohort("runs").code == 0
        refused = cohort("submit", "train it")
        assert (refused.code, refused.out) == (2, "")
        assert "submit" in refused.err
    assert cohort("keys", "revoke", key["id"]).code == 0
    assert "revoked" in cohort("keys", "list").out
    monkeypatch.setenv("COHORT_KEY", key["secret"])
    assert cohort("runs").code == 2
