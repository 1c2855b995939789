"""`seeds`: a dear training can be repeated."""

import pytest

from services.worker.rules.facts import Asked
from services.worker.rules.seeds import refuse, seeded
from tests.worker.rules.cases import asked, facts


def test_random_numbers_without_a_seed_are_refused() -> None:
    text = refuse(facts(asked(), text="import torch\nmodel = torch.nn.Linear(1, 1)"))

    assert text is not None
    assert "COHORT_SEED" in text


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (asked(), "import torch\ntorch.manual_seed(1)"),
        (asked(), "import sklearn\nfit(random_state=1)"),
        (asked("python train.py --seed 1"), "import torch"),
        (asked(env={"COHORT_SEED": "7"}), "import torch"),
        (asked(), "import torch, transformers\nTrainer(args=TrainingArguments())"),
        (asked(), "import csv"),
        (asked(), None),
        (asked(minutes=60), "import torch"),
        (asked(smoke=True), "import torch"),
        (asked(evaluates=True), "import torch"),
    ],
)
def test_what_is_seeded_or_not_random_or_cheap_passes(wanted: Asked, text: str | None) -> None:
    assert refuse(facts(wanted, text=text)) is None


@pytest.mark.parametrize(
    ("env", "gpus", "expected"),
    [
        ({}, 0, {"COHORT_SEED": "0", "PYTHONHASHSEED": "0"}),
        ({}, 1, {"COHORT_SEED": "0", "PYTHONHASHSEED": "0", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}),
        ({"COHORT_SEED": "7", "A": "b"}, 0, {"COHORT_SEED": "7", "PYTHONHASHSEED": "7", "A": "b"}),
        ({"COHORT_SEED": "x"}, 0, {"COHORT_SEED": "x", "PYTHONHASHSEED": "0"}),
        ({"PYTHONHASHSEED": "3"}, 0, {"COHORT_SEED": "0", "PYTHONHASHSEED": "3"}),
    ],
)
def test_the_platform_sets_what_the_step_does_not(env: dict[str, str], gpus: int, expected: dict[str, str]) -> None:
    assert seeded(env, gpus) == expected
