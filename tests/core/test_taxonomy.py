"""The table of failure classes."""

from services.core.taxonomy import TAXONOMY, Failure, Owner


def test_every_class_has_its_row_in_order() -> None:
    assert list(TAXONOMY) == list(Failure)


def test_a_class_says_who_can_mend_it_and_what_it_means() -> None:
    assert Failure.OUT_OF_MEMORY.owner is Owner.RESOURCES
    assert all(failure.meaning.endswith(".") and len(failure.meaning) < 100 for failure in Failure)
    assert [failure for failure in Failure if failure.owner is Owner.NONE] == [Failure.NONE]


def test_no_two_classes_mean_the_same() -> None:
    assert len({row.meaning for row in TAXONOMY.values()}) == len(TAXONOMY)
