"""A round in pieces, so that what is urgent gets its turn between two of them. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from services.core.keys import run_of_attempt

# So many attempts are looked at before news is heard again.
_PIECE = 16


def pieces(attempts: Iterable[str]) -> Iterator[Mapping[str, Collection[str]]]:
    """The attempts by run, in pieces of whole runs that have a few attempts each."""
    runs: dict[str, list[str]] = {}
    for attempt in attempts:
        runs.setdefault(run_of_attempt(attempt), []).append(attempt)
    piece: dict[str, list[str]] = {}
    for run, names in runs.items():
        piece[run] = names
        if sum(map(len, piece.values())) >= _PIECE:
            yield piece
            piece = {}
    yield piece
