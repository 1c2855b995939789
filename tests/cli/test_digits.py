"""The demo's judge: what it hides, and what it makes of what is delivered."""

import io
from pathlib import Path

import numpy as np
import pytest

from services.cli.digits import Digits, NotAsAgreed, accuracy, split


@pytest.fixture(scope="module")
def digits() -> Digits:
    return split()


def deliver(directory: Path, program: str) -> tuple[Path, Path]:
    """A model, which is nothing, and a predict.py that does as the test says."""
    model, predict = directory / "model.npz", directory / "predict.py"
    np.savez(model)
    predict.write_text("import sys, numpy as np\n_, model, asked, answered = sys.argv\n" + program)
    return model, predict


def test_a_fifth_is_hidden_and_every_digit_is_in_both_parts(digits: Digits) -> None:
    with np.load(io.BytesIO(digits.given)) as given:
        assert given["images"].shape == (1437, 64)
        assert digits.images.shape == (360, 64)
        assert sorted(set(given["labels"].tolist())) == sorted(set(digits.labels.tolist())) == list(range(10))
        seen = {image.tobytes() for image in given["images"]}
    assert not any(image.tobytes() in seen for image in digits.images)


def test_the_split_is_the_same_every_time(digits: Digits) -> None:
    assert (split().labels == digits.labels).all()


def test_right_answers_are_counted(digits: Digits, tmp_path: Path) -> None:
    model, predict = deliver(tmp_path, "np.savez(answered, labels=np.full(len(np.load(asked)['images']), 3))")
    assert accuracy(digits, model, predict) == pytest.approx((digits.labels == 3).mean())


def test_the_program_sees_no_labels_and_no_secret(
    digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    model, predict = deliver(
        tmp_path,
        "import os\n"
        "assert 'ANTHROPIC_API_KEY' not in os.environ, 'sees a secret'\n"
        "assert list(np.load(asked)) == ['images'], 'sees more than images'\n"
        "assert os.listdir('.') == ['images.npz'], 'sees other files'\n"
        "np.savez(answered, labels=np.zeros(360))",
    )
    assert accuracy(digits, model, predict) < 0.2


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("raise ValueError('no\\x1b[31m idea')", "failed with exit code 1: ValueError: no idea"),
        ("pass", "wrote no array `labels`"),
        ("np.savez(answered, answers=np.zeros(360))", "wrote no array `labels`"),
        ("np.savez(answered, labels=np.zeros(7))", r"labels of shape \(7,\) for 360 images"),
        ("np.savez(answered, labels=np.array([object()] * 360), allow_pickle=True)", "wrote no array `labels`"),
        ("open(answered, 'w').write('no archive')", "wrote no array `labels`"),
    ],
)
def test_what_is_not_as_agreed_is_told(digits: Digits, tmp_path: Path, program: str, why: str) -> None:
    with pytest.raises(NotAsAgreed, match=why):
        accuracy(digits, *deliver(tmp_path, program))
