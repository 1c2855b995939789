"""`outputs`: a dear training keeps what it makes."""

import pytest

from services.worker.rules.facts import Asked
from services.worker.rules.outputs import refuse
from tests.worker.rules.cases import asked, facts


def test_a_program_that_keeps_nothing_is_refused() -> None:
    text = refuse(facts(asked(), text="torch.save(model, 'model.pt')"))

    assert text is not None
    assert "neither the command nor train.py mentions $COHORT_OUTPUT_DIR" in text


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (asked(), "out = os.environ['COHORT_OUTPUT_DIR']"),
        (asked(), "state = os.getenv('COHORT_CHECKPOINT_DIR')"),
        (asked('python train.py --out "$COHORT_OUTPUT_DIR"'), "save(args.out)"),
        (asked(env={"OUT": "$COHORT_OUTPUT_DIR"}), "save(os.environ['OUT'])"),
        (asked(), "trainer.push_to_hub()"),
        (asked(), "fs.put('model.pt', 's3://bucket/model.pt')"),
        (asked(), None),
        (asked(minutes=60), "nothing"),
        (asked(smoke=True), "nothing"),
        (asked(evaluates=True), "nothing"),
    ],
)
def test_what_keeps_something_or_is_cheap_or_not_known_passes(wanted: Asked, text: str | None) -> None:
    assert refuse(facts(wanted, text=text)) is None
