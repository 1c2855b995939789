import hashlib
import random
import threading

import pytest

from services.core import faults
from services.core.artifacts import ArtifactNotFound, ArtifactStore, ArtifactStoreUnavailable
from services.core.attempts import AttemptOver, AttemptStore
from services.core.keys import Keys
from services.core.logs import MAX_TAIL_BYTES, SEGMENT_BYTES, LogStore, WrongOffset
from services.core.observations import FinishReport
from services.core.redis import Client
from services.core.store import RunStore
from tests.core.submitted import close_attempt, submit_attempt


class Killed(Exception):
    """Stands for the death of the process at a fault point."""


@pytest.fixture
def logs(client: Client, keys: Keys, artifacts: ArtifactStore) -> LogStore:
    return LogStore(client, keys, artifacts)


@pytest.fixture
def attempt(store: RunStore) -> str:
    return submit_attempt(store)


def sent(logs: LogStore, attempt: str, *pieces: bytes) -> bytes:
    """Append the pieces one after the other; returns all of the log."""
    for piece in pieces:
        logs.append(attempt, logs.size(attempt), piece)
    return b"".join(pieces)


def objects(artifacts: ArtifactStore, attempt: str) -> list[str]:
    run, step, number = attempt.split("-")
    return artifacts.list_named(f"logs/{run}/{step}/{number}/")


def test_what_was_appended_is_read_back(logs: LogStore, attempt: str) -> None:
    whole = sent(logs, attempt, b"one\n", b"", b"two\0\xff\n", b"three")
    assert logs.read(attempt, 0, 1_000) == whole
    assert logs.read(attempt, 5, 3) == whole[5:8]
    assert logs.read(attempt, len(whole), 10) == b""
    assert logs.read(attempt, len(whole) + 99, 10) == b""
    assert logs.size(attempt) == len(whole)


def test_bytes_that_do_not_begin_at_the_end_are_refused_with_the_right_place(logs: LogStore, attempt: str) -> None:
    sent(logs, attempt, b"12345")
    for offset, size in ((0, 5), (4, 5), (6, 1), (0, SEGMENT_BYTES), (99, SEGMENT_BYTES)):
        with pytest.raises(WrongOffset) as refused:
            logs.append(attempt, offset, b"x" * size)
        assert refused.value.expected == 5
    assert logs.read(attempt, 0, 99) == b"12345"


def test_a_small_write_stays_in_redis_and_a_large_one_does_not(
    logs: LogStore, attempt: str, artifacts: ArtifactStore, client: Client, keys: Keys
) -> None:
    small = sent(logs, attempt, b"a" * (SEGMENT_BYTES - 1))
    assert client.strlen(keys.attempt(attempt, "tail")) == SEGMENT_BYTES - 1
    assert objects(artifacts, attempt) == []
    large = sent(logs, attempt, b"b" * SEGMENT_BYTES)
    assert client.strlen(keys.attempt(attempt, "tail")) == 0
    assert len(objects(artifacts, attempt)) == 1
    assert logs.read(attempt, 0, 2**20) == small + large


def test_redis_never_holds_more_than_the_longest_tail(
    logs: LogStore, attempt: str, client: Client, keys: Keys, artifacts: ArtifactStore
) -> None:
    chooser = random.Random(1)
    whole = b""
    for _ in range(60):
        whole += sent(logs, attempt, chooser.randbytes(chooser.randrange(1, SEGMENT_BYTES)))
        assert client.strlen(keys.attempt(attempt, "tail")) <= MAX_TAIL_BYTES
    assert len(objects(artifacts, attempt)) > 2
    assert b"".join(logs.stream(attempt)) == whole


def test_any_part_of_a_log_of_many_segments_is_the_right_bytes(logs: LogStore, attempt: str) -> None:
    chooser = random.Random(2)
    whole = sent(logs, attempt, *(chooser.randbytes(chooser.choice((10, 3_000, 70_000, 130_000))) for _ in range(60)))
    for _ in range(200):
        offset, limit = chooser.randrange(len(whole)), chooser.randrange(1, 300_000)
        assert logs.read(attempt, offset, limit) == whole[offset : offset + limit]
    assert b"".join(logs.stream(attempt, 77_777)) == whole[77_777:]


def test_two_senders_of_the_same_log_store_every_byte_once(logs: LogStore, attempt: str) -> None:
    chooser = random.Random(3)
    whole = b"".join(chooser.randbytes(chooser.choice((100, 50_000, 100_000))) for _ in range(40))

    def send(seed: int) -> None:
        mine, offset = random.Random(seed), 0
        while offset < len(whole):
            data = whole[offset : offset + mine.choice((1, 1_000, 60_000, 120_000))]
            try:
                offset = logs.append(attempt, offset, data)
            except WrongOffset as error:
                offset = error.expected

    threads = [threading.Thread(target=send, args=[seed]) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert b"".join(logs.stream(attempt)) == whole


def test_a_death_between_segment_and_index_loses_and_doubles_nothing(logs: LogStore, attempt: str) -> None:
    small = sent(logs, attempt, b"s" * 1_000)
    deaths = ["api.segment_written"]

    def die(name: str) -> None:
        if name in deaths:
            deaths.remove(name)
            raise Killed(name)

    faults.install(die)
    large = b"l" * SEGMENT_BYTES
    with pytest.raises(Killed):
        logs.append(attempt, 1_000, large)
    assert logs.size(attempt) == 1_000
    assert logs.append(attempt, 1_000, large) == 1_000 + SEGMENT_BYTES
    assert b"".join(logs.stream(attempt)) == small + large


def test_nothing_is_appended_once_the_attempt_is_over_or_has_reported_its_end(
    logs: LogStore, store: RunStore, client: Client, keys: Keys
) -> None:
    over, finished = submit_attempt(store), submit_attempt(store)
    close_attempt(store, over)
    report = FinishReport(reason="exited", exit_code=0, bytes=0, sha256="0" * 64)
    AttemptStore(client, keys).finish(finished, report, log_complete=True)
    for attempt in (over, finished, "rzzzzzzzzzzzz-train-1"):
        for size in (1, SEGMENT_BYTES):
            with pytest.raises(AttemptOver):
                logs.append(attempt, 0, b"x" * size)


def test_a_digest_holds_for_exactly_these_bytes(logs: LogStore, attempt: str) -> None:
    whole = sent(logs, attempt, b"a" * 100, b"b" * SEGMENT_BYTES, b"c")
    digest = hashlib.sha256(whole).hexdigest()
    assert logs.verify(attempt, digest, len(whole))
    assert not logs.verify(attempt, digest, len(whole) - 1)
    assert not logs.verify(attempt, hashlib.sha256(b"").hexdigest(), len(whole))


def test_a_log_can_be_begun_anew_once(logs: LogStore, attempt: str) -> None:
    sent(logs, attempt, b"damaged" * SEGMENT_BYTES)
    assert logs.reset(attempt)
    assert logs.size(attempt) == 0
    assert sent(logs, attempt, b"right") == logs.read(attempt, 0, 99)
    assert not logs.reset(attempt)


def test_compaction_leaves_one_object_and_the_same_bytes(
    logs: LogStore, attempt: str, store: RunStore, artifacts: ArtifactStore, client: Client, keys: Keys
) -> None:
    whole = sent(logs, attempt, *(bytes([number]) * 70_000 for number in range(10)), b"the end")
    artifacts.put_named(objects(artifacts, attempt)[0].rpartition("/")[0] + "/000000000000000-5-stray000", b"stray")
    close_attempt(store, attempt)
    for _ in range(2):
        logs.compact(attempt)
        assert len(objects(artifacts, attempt)) == 1
        assert b"".join(logs.stream(attempt)) == whole
    assert not client.exists(keys.attempt(attempt, "tail"))


def test_a_live_log_is_not_compacted(logs: LogStore, attempt: str, artifacts: ArtifactStore) -> None:
    sent(logs, attempt, b"a" * SEGMENT_BYTES, b"b" * SEGMENT_BYTES)
    logs.compact(attempt)
    assert len(objects(artifacts, attempt)) == 2


def test_compaction_of_a_log_that_redis_no_longer_knows_deletes_nothing(
    logs: LogStore, attempt: str, store: RunStore, artifacts: ArtifactStore, client: Client, keys: Keys
) -> None:
    sent(logs, attempt, b"a" * SEGMENT_BYTES)
    close_attempt(store, attempt)
    client.delete(keys.attempt(attempt))
    logs.compact(attempt)
    assert len(objects(artifacts, attempt)) == 1


def test_a_reader_that_meets_a_compaction_reads_on(
    logs: LogStore, attempt: str, store: RunStore, artifacts: ArtifactStore
) -> None:
    whole = sent(logs, attempt, *(bytes([number]) * SEGMENT_BYTES for number in range(40)))
    close_attempt(store, attempt)
    reader = logs.stream(attempt)
    begun = next(reader)
    logs.compact(attempt)
    assert begun + b"".join(reader) == whole


class FullDisk:
    """An artifact store that takes nothing."""

    def put_named(self, key: str, data: bytes) -> None:
        raise ArtifactStoreUnavailable("the disk is full")

    def open_named(self, key: str) -> object:
        raise ArtifactNotFound(key)

    def delete_named(self, key: str) -> None:
        raise ArtifactStoreUnavailable("the disk is full")

    def list_named(self, prefix: str = "") -> list[str]:
        return []


def test_a_full_disk_holds_the_sender_back_and_does_not_fill_redis(client: Client, keys: Keys, attempt: str) -> None:
    logs = LogStore(client, keys, FullDisk())  # type: ignore[arg-type]
    piece = b"x" * (SEGMENT_BYTES - 1)
    with pytest.raises(ArtifactStoreUnavailable):
        sent(logs, attempt, *[piece] * 10)
    assert client.strlen(keys.attempt(attempt, "tail")) <= MAX_TAIL_BYTES
    assert logs.read(attempt, 0, 2**20) == piece * (logs.size(attempt) // len(piece))
