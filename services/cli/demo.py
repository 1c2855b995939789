"""The demo's goal, what is fetched of its run, and the summary."""

from dataclasses import dataclass
from pathlib import Path

from services.cli.client import ApiClient, path_of
from services.cli.digits import Digits, NotAsAgreed, accuracy
from services.cli.fetching import artifact_pieces, artifacts, log_pieces, save, trace_pieces, workspace_file_pieces
from services.cli.goal import Goal
from services.cli.look import Look, Tone, dollars_text, seconds_text, tone_of
from services.cli.problems import FAILED, Refused
from services.cli.report import read_run, step_lines
from services.core.lifecycle import Status
from services.core.paths import clean_path
from services.core.records import MICRODOLLARS, RunState

MODEL = "scripted/digits"
WHAT_PLAYS = "a scripted playbook, not a language model"
DATA = "data/digits-train.npz"
TARGET = 0.97
_MODEL_FILE, _CARD, _PREDICT, _LOGS, _TRACE = "train/model.npz", "MODEL_CARD.md", "predict.py", "logs", "trace.jsonl"
_FILES = {"model": _MODEL_FILE, "program": _PREDICT, "model card": _CARD, "logs": _LOGS, "trace": _TRACE}

GOAL = f"""\
train a classifier on the digits data set to at least 97 % test accuracy

The data: {DATA} holds the arrays `images` (n, 64), 8x8 pixels with values 0 to 16, and `labels` (n,), 0 to 9.
Deliver
- the trained model as model.npz, an output of the step `train`;
- {_PREDICT} in the workspace: `python {_PREDICT} MODEL.npz IMAGES.npz OUT.npz` reads the array `images` of IMAGES.npz
  and writes the array `labels` to OUT.npz; it needs numpy and no other file;
- {_CARD}, with the accuracy on rows that were not trained on and how to reproduce it.
The accuracy that counts will be measured on images that you do not get.
"""


@dataclass(frozen=True)
class Outcome:
    """How the demo ended. `accuracy` is None where it could not be measured; then `why` says why."""

    state: RunState
    accuracy: float | None
    why: str
    hidden_count: int
    result: Path

    @property
    def exit_code(self) -> int:
        """0 only if the run succeeded and the model is as good as was asked for, on images it has not seen."""
        if self.state.status is not Status.SUCCEEDED:
            return self.state.exit_code or FAILED
        return 0 if self.accuracy is not None and self.accuracy >= TARGET else FAILED


def goal(data: Path) -> Goal:
    """The demo's goal with the training data at `data`."""
    return Goal(
        text=GOAL,
        model=MODEL,
        limits={"turns": 200, "minutes": 15},
        labels={"demo": "digits"},
        inputs=((DATA, data),),
    )


def collect(api: ApiClient, run: str, digits: Digits, result: Path) -> Outcome:
    """Fetch what the run delivered into `result`, and measure it."""
    state = read_run(api.get(path_of("v1", "runs", run))).state
    for file in artifacts(api, run):
        save(artifact_pieces(api, run, file.path), result / clean_path(file.path), file.sha256)
    for step in state.steps.values():
        for attempt in step.attempts:
            log = result / _LOGS / f"{step.name}-{attempt.number}.log"
            save(log_pieces(api, run, step.name, {"attempt": attempt.number}), log)
    save(trace_pieces(api, run), result / _TRACE)
    measured, why = _measured(api, run, digits, result)
    return Outcome(state, measured, why, len(digits.labels), result)


def summary_lines(outcome: Outcome, look: Look) -> list[str]:
    """What came out, for a person."""
    state, spend, result = outcome.state, outcome.state.spend, outcome.result
    first, *others = step_lines(state, look) or ["none"]
    cost = dollars_text(spend.microdollars / MICRODOLLARS)
    rows = [
        ("status", look.paint(state.status, tone_of(state.status))),
        ("accuracy", _accuracy_text(outcome, look)),
        ("steps", first),
        *(("", line) for line in others),
        ("time", f"{seconds_text((state.ended or state.updated) - state.created)}, {state.turn} turns"),
        ("played by", f"{state.model}: {WHAT_PLAYS}"),
        ("tokens", f"{spend.prompt_tokens:,} in, {spend.completion_tokens:,} out; cost {cost}"),
        *((name, str(result / file)) for name, file in _FILES.items() if (result / file).exists()),
    ]
    title = "── what came out "
    header = look.paint(title + "─" * (min(look.width, 80) - len(title)), Tone.QUIET)
    return ["", header, *(f"{name:<12}{value}" for name, value in rows)]


def _measured(api: ApiClient, run: str, digits: Digits, result: Path) -> tuple[float | None, str]:
    predict = result / _PREDICT
    if not (result / _MODEL_FILE).exists():
        return None, "the run delivered no model"
    try:
        save(workspace_file_pieces(api, run, _PREDICT), predict)
        return accuracy(digits, result / _MODEL_FILE, predict), ""
    except (Refused, NotAsAgreed) as error:
        return None, str(error)


def _accuracy_text(outcome: Outcome, look: Look) -> str:
    if outcome.accuracy is None:
        return look.paint(f"not measured: {outcome.why}", Tone.BAD)
    enough = outcome.accuracy >= TARGET
    text = look.paint(f"{outcome.accuracy * 100:.2f} %", Tone.GOOD if enough else Tone.BAD)
    return f"{text} on {outcome.hidden_count} images that the run has not seen ({TARGET * 100:.0f} % asked for)"
