"""The demo's playbook: its programs for real, and each branch it can take."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from services.scripted.playbook import Playbook
from services.scripted.replay import next_reply
from tests.scripted.conversations import answers, assistant, shipped, states, user
from tests.scripted.workbench import Workbench

GOAL = "Train a classifier on the digits data set to at least 97 % test accuracy."
EPOCHS_ENOUGH = 40
"""A quarter of the demo's, to keep the test short: some 98 % on the hidden images instead of 99 %."""


@pytest.fixture
def digits() -> Playbook:
    return shipped("digits")


@pytest.fixture
def hidden() -> tuple[Any, ...]:
    """(training images, hidden images, training labels, hidden labels), as the demo splits them."""
    images, labels = load_digits(return_X_y=True)
    return tuple(train_test_split(images, labels, test_size=360, random_state=0, stratify=labels))


def test_the_whole_story_ends_with_a_model_that_holds_on_hidden_images(
    digits: Playbook, hidden: tuple[Any, ...], tmp_path: Path
) -> None:
    playbook = digits.model_copy(update={"variables": {**digits.variables, "epochs": EPOCHS_ENOUGH}})
    bench = Workbench(tmp_path / "workspace", tmp_path / "outputs")
    (bench.directory / "data").mkdir(parents=True)
    np.savez(bench.directory / "data" / "digits-train.npz", images=hidden[0], labels=hidden[2])
    messages, visited = [user(GOAL)], []
    while bench.finished is None:
        reply = next_reply(playbook, messages)
        visited.append(reply.state)
        messages += [assistant(reply), *bench.answer(reply)]
        assert len(visited) < 30

    assert visited == [
        "set-out", "write-program", "smoke-test", "submit", "wait-for-training", "read-around", "mend",
        "smoke-test-again", "submit-mended", "wait-for-training", "evaluate", "wait-for-evaluation", "model-card",
        "hand-over",
    ]  # fmt: skip
    first, second = bench.ended["train"]
    assert "ValueError: could not broadcast input array from shape (62,8,8) into shape (64,8,8)" in first
    assert "epoch=4 step=72 loss=" in first, "the first attempt trains for a while before it fails"
    assert f"epoch={EPOCHS_ENOUGH} step=" in second

    np.savez(tmp_path / "hidden.npz", images=hidden[1])
    bench.run(f"python predict.py {tmp_path}/outputs/train/model.npz {tmp_path}/hidden.npz {tmp_path}/labels.npz")
    with np.load(tmp_path / "labels.npz", allow_pickle=False) as file:
        assert (file["labels"] == hidden[3]).mean() > 0.96

    measured = bench.finished["metrics"]["val_accuracy"]
    assert f"val_accuracy={measured:.4f}" in bench.ended["evaluate"][0]
    assert f"| Validation accuracy | {measured:.4f} |" in (bench.directory / "MODEL_CARD.md").read_text()
    assert bench.finished["artifacts"] == ["train/model.npz", "MODEL_CARD.md", "predict.py"]


DATA = "exit code: 0\nimages (1437, 64) float64 values 0.0 to 16.0\nlabels (1437,) int64 per class [142]"
READY = [("plan noted", DATA), "wrote", "exit code: 0\nsmoke test passed"]
SUBMITTED = "submitted attempt 1 of step train; wait_for_steps tells how it ends"
TRAINED = "Step train, attempt 2: succeeded\noutputs: train/model.npz"
RUNNING = "The wait ended because 0.05 minutes are over; not all steps are over.\n\nStep train, attempt 1: running"
ERROR = "ValueError: could not broadcast input array from shape (62,8,8) into shape (64,8,8)"
TRACE = f"""Step train, attempt 1: failed
  File "/w/train.py", line 61, in main
  File "/w/augment.py", line 27, in __call__
    canvas[:, 2:-2, 2:-2] = images.reshape(-1, 8, 8)
{ERROR}
"""
ACCURACY = "Step evaluate, attempt 1: succeeded\nlabelled 287 images\nall: 280 of 287 correct\nval_accuracy={}"


@pytest.mark.parametrize(
    ("rounds", "visited"),
    [
        (
            [("plan noted", "exit code: 1\nNo such file"), "look again", DATA],
            ["data-unexpected", "look-again", "write-program"],
        ),
        ([*READY[:2], "exit code: 1\nModuleNotFoundError: numpy", "go on"], ["smoke-test-failed", "smoke-test"]),
        (
            [*READY, "the run has $0.00 left", "go on", SUBMITTED],
            ["not-submitted", "submit-again", "wait-for-training"],
        ),
        (
            [*READY, SUBMITTED, RUNNING, "Step train, attempt 1: running\nepoch=3 step=54: loss 0.1516", RUNNING],
            ["wait-for-training", "watch", "wait-on", "watch"],
        ),
        ([*READY, SUBMITTED, RUNNING, "no metrics yet"], ["watch", "wait-for-training"]),
        ([*READY, SUBMITTED, TRACE], ["wait-for-training", "read-around"]),
        (
            [*READY, SUBMITTED, f"Step train, attempt 1: failed\n{ERROR}", '@9 File "/w/augment.py", line 27'],
            ["wait-for-training", "find-line", "read-around"],
        ),
        (
            [*READY, SUBMITTED, "Step train, attempt 1: failed\nMemoryError", "log", "go on"],
            ["training-failed", "training-failed-for-good", "submit-again"],
        ),
        ([*READY, SUBMITTED, TRACE, "26\tsomething else"], ["read-around", "training-failed-for-good"]),
        ([*READY, SUBMITTED, TRAINED, SUBMITTED, ACCURACY.format("0.9861")], ["wait-for-evaluation", "model-card"]),
        (
            [*READY, SUBMITTED, TRAINED, SUBMITTED, ACCURACY.format("0.9512"), SUBMITTED, TRAINED, SUBMITTED,
             ACCURACY.format("0.9600")],
            ["train-longer", "wait-for-training", "evaluate", "wait-for-evaluation", "below-target"],
        ),
        (
            [*READY, SUBMITTED, TRAINED, SUBMITTED, "Step evaluate, attempt 1: failed\nboom"],
            ["wait-for-evaluation", "evaluation-failed"],
        ),
        (
            [*READY, SUBMITTED, TRAINED, SUBMITTED, ACCURACY.format("0.9861"), "wrote", "not finished", "go on"],
            ["hand-over", "not-accepted", "evaluate"],
        ),
    ],
)  # fmt: skip
def test_it_branches_on_what_the_tools_answer(digits: Playbook, rounds: list[Any], visited: list[str]) -> None:
    assert states(digits, GOAL, *rounds)[-len(visited) :] == visited


def test_the_second_round_trains_longer(digits: Playbook) -> None:
    messages = [user(GOAL)]
    for texts in [*READY, SUBMITTED, TRAINED, SUBMITTED, ACCURACY.format("0.9512")]:
        reply = next_reply(digits, messages)
        given = (texts,) if isinstance(texts, str) else texts
        messages += [assistant(reply), *answers(reply, *given)]

    again = next_reply(digits, messages)

    assert "0.9512 is short" in again.text
    assert "--epochs 320" in json.loads(again.calls[0].arguments)["command"]


def test_the_line_of_the_error_is_read_with_what_is_around_it(digits: Playbook) -> None:
    messages = [user(GOAL)]
    for texts in [*READY, SUBMITTED, TRACE]:
        reply = next_reply(digits, messages)
        given = (texts,) if isinstance(texts, str) else texts
        messages += [assistant(reply), *answers(reply, *given)]

    reading = next_reply(digits, messages)

    assert "augment.py, line 27: could not broadcast" in reading.text
    assert json.loads(reading.calls[0].arguments) == {"path": "augment.py", "offset": 18, "limit": 20}
