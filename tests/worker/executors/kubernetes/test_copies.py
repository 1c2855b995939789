"""What is taken of a copy that may be large."""

import pytest

from services.worker.executors.kubernetes.client import ClusterUnreachable
from services.worker.executors.kubernetes.copies import last_of

PIECES = [b"abc", b"", b"defg", b"h", b"ij"]


@pytest.mark.parametrize(
    ("most", "before", "data"),
    [(100, 0, b"abcdefghij"), (10, 0, b"abcdefghij"), (9, 1, b"bcdefghij"), (3, 7, b"hij"), (1, 9, b"j")],
)
def test_the_last_bytes_are_kept_and_the_others_counted(most: int, before: int, data: bytes) -> None:
    assert last_of(PIECES, most) == (before, data)


def test_nothing_comes_of_nothing() -> None:
    assert last_of([]) == (0, b"")


def test_a_copy_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(ClusterUnreachable):
        last_of(PIECES, seconds=-1)
