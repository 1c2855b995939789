"""`evaluation_data`: neither seen by a training nor changed."""

import pytest

from services.core.workspace import Entry
from services.worker.rules.evaluation_data import altered, refuse
from services.worker.rules.facts import Asked
from tests.worker.rules.cases import asked, earlier, facts

DATA = {"evaluation": ("data/test.csv",), "inputs": ("data/test.csv", "data/train.csv")}


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (asked(), {"train.py": "pd.read_csv('data/test.csv')"}),
        (asked(), {"train.py": "open(Path('data') / 'test.csv')"}),
        (asked(), {"train.py": "open(f'{root}/test.csv')"}),
        (asked(), {"train.py": "import data", "data.py": "TEST = 'data/test.csv'"}),
        (asked(), {"train.py": "", "cfg.yaml": "validation: data/test.csv\n"}),
        (asked("python train.py --valid data/test.csv"), {"train.py": ""}),
        (asked(minutes=1, smoke=True), {"train.py": "open('data/test.csv')"}),
        (asked("python evaluate.py"), {"evaluate.py": "open('data/test.csv')"}),
        (asked(), {"train.py": "this is no python 'data/test.csv"}),
    ],
)
def test_a_training_that_names_it_is_refused(wanted: Asked, text: dict[str, str]) -> None:
    found = refuse(facts(wanted, text=text, **DATA))

    assert found is not None
    assert "data/test.csv, which the goal keeps for evaluation" in found
    assert "evaluates true" in found


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (asked(evaluates=True), {"train.py": "open('data/test.csv')"}),
        (asked(), {"train.py": "open('data/train.csv')"}),
        (asked(), {"train.py": "# never data/test.csv\nopen('data/train.csv')"}),
        (asked(), {"train.py": '"""Leaves data/test.csv alone."""\nopen("data/train.csv")'}),
        (asked(), {"train.py": "open('data/latest.csv'), open('my-test.csv')"}),
        (asked(), {"train.py": "from evaluate import score", "evaluate.py": "open('data/test.csv')"}),
        (asked(), {"train.py": "", "cfg.yaml": "train: data/train.csv  # not data/test.csv\n"}),
        (asked(), None),
    ],
)
def test_a_step_that_does_not_name_it_or_evaluates_passes(wanted: Asked, text: dict[str, str] | None) -> None:
    assert refuse(facts(wanted, text=text, **DATA)) is None


def test_a_module_that_an_evaluation_has_run_is_none_of_the_training() -> None:
    text = {"train.py": "import judge", "judge.py": "open('data/test.csv')"}
    before = earlier("judge", command="python judge.py", evaluates=True)

    assert refuse(facts(asked(), text=text, **DATA)) is not None
    assert refuse(facts(asked(), before, text=text, **DATA)) is None


def test_a_name_that_other_inputs_have_too_has_to_be_whole() -> None:
    both = {"evaluation": ("eval/data.csv",), "inputs": ("eval/data.csv", "train/data.csv")}

    assert refuse(facts(asked(), text="open(folder + 'data.csv')", **both)) is None
    assert refuse(facts(asked(), text="open('eval/data.csv')", **both)) is not None


def test_without_evaluation_data_everything_passes() -> None:
    assert refuse(facts(asked(), text="open('data/test.csv')")) is None


def test_what_was_changed_or_deleted_is_found_and_keeps_every_step_back() -> None:
    brought = [Entry(name, sha, 1, 0o644) for name, sha in (("a", "1"), ("b", "2"), ("c", "3"))]
    now = [Entry("a", "1", 1, 0o644), Entry("b", "9", 1, 0o644), Entry("d", "4", 1, 0o644)]

    found = altered(brought, now)

    assert found == ("b", "c")
    text = refuse(facts(asked(evaluates=True), altered=found))
    assert text is not None
    assert "(b, c); it has been put back" in text


@pytest.mark.parametrize("text", ["-" * 50_000, "(" * 50_000, "torch " * 10_000, "x = \0", "\ud800"], ids=range(5))
def test_a_program_that_is_none_is_searched_as_text(text: str) -> None:
    assert refuse(facts(asked(), text=text, **DATA)) is None
    assert refuse(facts(asked(), text=f"{text} 'data/test.csv'", **DATA)) is not None
