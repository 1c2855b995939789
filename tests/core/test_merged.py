"""The ranks' logs as one: whole lines, in the order in which they came, the same however they are read."""

import random

import pytest

from services.core import logs as log_store
from services.core.artifacts import ArtifactStore
from services.core.keys import Keys, rank_id
from services.core.logs import LogStore
from services.core.merged import MergedLog
from services.core.redis import Client
from services.core.store import RunStore
from tests.core.submitted import submit_attempt


@pytest.fixture
def logs(client: Client, keys: Keys, artifacts: ArtifactStore) -> LogStore:
    return LogStore(client, keys, artifacts)


def write(logs: LogStore, attempt: str, rank: int, data: bytes) -> None:
    name = rank_id(attempt, rank)
    logs.append(name, logs.size(name), data)


def merged(logs: LogStore, attempt: str, nodes: int = 2, *, is_last: bool = True) -> bytes:
    return b"".join(MergedLog(logs, attempt, nodes).all(is_last=is_last))


def test_lines_come_in_the_order_in_which_they_were_whole(logs: LogStore, store: RunStore) -> None:
    attempt = submit_attempt(store, nodes=2)
    for rank, data in [(0, b"a\nb"), (1, b"x\r50%\n"), (0, b"c\n"), (1, b"y\n"), (1, b"z")]:
        write(logs, attempt, rank, data)
    assert merged(logs, attempt) == b"[rank 0] a\n[rank 1] x\r50%\n[rank 0] bc\n[rank 1] y\n[rank 1] z\n"
    assert merged(logs, attempt, is_last=False).endswith(b"[rank 1] y\n")


def test_an_attempt_on_one_node_has_no_turns(logs: LogStore, store: RunStore) -> None:
    attempt = submit_attempt(store)
    write(logs, attempt, 0, b"a\n")
    assert logs.turns(attempt, 0, 10) == []


@pytest.mark.parametrize("seed", range(5))
def test_who_reads_while_it_is_written_reads_the_same(logs: LogStore, store: RunStore, seed: int) -> None:
    chance, attempt, nodes = random.Random(seed), submit_attempt(store, nodes=3), 3
    reader, read = MergedLog(logs, attempt, nodes), b""
    sent = [b""] * nodes
    for _ in range(60):
        rank = chance.randrange(nodes)
        data = chance.choice([b"line\n", b"part ", b"\n\n", b"x" * 100_000, b"y" * 70_000 + b"\n", b"\xff\0\n"])
        write(logs, attempt, rank, data)
        sent[rank] += data
        if chance.random() < 0.5:
            read += b"".join(reader.all(is_last=False))
    read += b"".join(reader.all(is_last=True))
    whole = merged(logs, attempt, nodes)
    assert read == whole
    for skip, limit in [(0, 10), (17, None), (len(whole) // 2, 1_000), (len(whole) + 5, None)]:
        part = b"".join(MergedLog(logs, attempt, nodes).all(skip, limit, is_last=True))
        assert part == whole[skip:][:limit]
    for rank in range(nodes):
        mark = b"[rank %d] " % rank
        lines = b"".join(line.removeprefix(mark) for line in whole.splitlines(keepends=True) if line.startswith(mark))
        assert lines.replace(b"\n", b"") == sent[rank].replace(b"\n", b"")


def test_beyond_what_is_noted_the_ranks_come_one_after_the_other(
    logs: LogStore, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_store, "MAX_TURNS", 2)
    attempt = submit_attempt(store, nodes=2)
    for rank, data in [(0, b"a\n"), (1, b"x\n"), (0, b"b\n"), (1, b"y\n"), (0, b"c\n")]:
        write(logs, attempt, rank, data)
    assert len(logs.turns(attempt, 0, 10)) == 2
    assert merged(logs, attempt) == b"[rank 0] a\n[rank 1] x\n[rank 1] y\n[rank 0] b\n[rank 0] c\n"
