import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from services.core.artifacts import ArtifactDamaged, ArtifactNotFound, ArtifactStore, ArtifactStoreUnavailable, Blob

MISSING = "0" * 64


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(f"file://{tmp_path}/store" if request.param == "file" else f"memory://{uuid4().hex}")


@pytest.mark.parametrize("data", [b"", b"x", b"line\n" * 500_000])
def test_what_was_put_is_got_back_under_its_hash(store: ArtifactStore, data: bytes) -> None:
    sha256 = store.put(data)
    assert sha256 == hashlib.sha256(data).hexdigest()
    assert store.put(data) == sha256
    assert (store.get(sha256), store.size(sha256), store.exists(sha256)) == (data, len(data), True)
    with store.open(sha256) as file:
        file.seek(len(data) // 2)
        assert file.read() == data[len(data) // 2 :]


def test_a_file_is_stored_like_its_bytes(store: ArtifactStore, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(3 << 20)
    (tmp_path / "weights").write_bytes(data)
    blob = store.put_file(tmp_path / "weights")
    assert blob == Blob(store.put(data), len(data))
    assert store.get(blob.sha256) == data


def test_many_objects_come_back_in_order(store: ArtifactStore) -> None:
    objects = [str(number).encode() for number in range(200)]
    assert store.put_many(iter(objects)) == [hashlib.sha256(data).hexdigest() for data in objects]
    assert all(store.exists(hashlib.sha256(data).hexdigest()) for data in objects)


@pytest.mark.parametrize("name", [MISSING, "", "../../etc/passwd", "ABC", "0" * 63 + "\n"])
def test_a_hash_without_object_is_not_found(store: ArtifactStore, name: str) -> None:
    for ask in (store.get, store.open, store.size):
        with pytest.raises(ArtifactNotFound):
            ask(name)
    assert not store.exists(name)


def test_a_stream_that_fails_stores_nothing(store: ArtifactStore, tmp_path: Path) -> None:
    class Disconnected(Exception):
        pass

    def chunks():  # type: ignore[no-untyped-def]
        yield b"half"
        raise Disconnected

    with pytest.raises(Disconnected):
        store.put_stream(chunks())
    assert not store.exists(hashlib.sha256(b"half").hexdigest())
    assert not list(tmp_path.glob("store/tmp/*"))


def test_named_objects_are_replaced_listed_and_removed(store: ArtifactStore) -> None:
    for key in ("logs/r1/a/0", "logs/r1/b", "logs/r10/a", "other"):
        store.put_named(key, key.encode())
    store.put_named("other", b"new")
    assert store.get_named("other") == b"new"
    assert store.list_named() == ["logs/r1/a/0", "logs/r1/b", "logs/r10/a", "other"]
    assert store.list_named("logs/r1") == ["logs/r1/a/0", "logs/r1/b", "logs/r10/a"]
    assert store.list_named("logs/r1/") == ["logs/r1/a/0", "logs/r1/b"]
    assert store.list_named("nothing/") == []
    store.delete_named("logs/r1/b")
    store.delete_named("logs/r1/b")
    with pytest.raises(ArtifactNotFound):
        store.get_named("logs/r1/b")
    with store.open_named("logs/r10/a") as file:
        assert file.read() == b"logs/r10/a"


def test_named_and_hashed_objects_never_meet(store: ArtifactStore) -> None:
    sha256 = store.put(b"data")
    store.put_named(f"cas/{sha256[:2]}/{sha256}", b"forged")
    assert store.get(sha256) == b"data"


def test_an_object_changed_on_disk_is_noticed_and_a_torn_one_is_repaired(tmp_path: Path) -> None:
    store = ArtifactStore(f"file://{tmp_path}")
    sha256 = store.put(b"precious")
    path = tmp_path / "cas" / sha256[:2] / sha256
    path.write_bytes(b"PRECIOUS")
    with pytest.raises(ArtifactDamaged):
        store.get(sha256)
    path.write_bytes(b"pre")
    assert store.put(b"precious") == sha256
    assert store.get(sha256) == b"precious"


def test_a_store_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for url in (f"file://{tmp_path}/file/store", "nosuchprotocol://bucket"):
        with pytest.raises(ArtifactStoreUnavailable):
            ArtifactStore(url)


def test_what_killed_writers_left_is_removed_after_a_day(tmp_path: Path) -> None:
    ArtifactStore(f"file://{tmp_path}")
    old, fresh = tmp_path / "tmp" / "part-old", tmp_path / "tmp" / "part-fresh"
    old.touch()
    fresh.touch()
    two_days_ago = time.time() - 2 * 86400
    os.utime(old, (two_days_ago, two_days_ago))
    ArtifactStore(f"file://{tmp_path}")
    assert (old.exists(), fresh.exists()) == (False, True)


def test_concurrent_writers_of_the_same_objects_agree(store: ArtifactStore) -> None:
    objects = [bytes([number]) * 50_000 for number in range(20)]

    def write(seed: int) -> None:
        for data in random.Random(seed).sample(objects, len(objects)):
            store.put(data)
            store.put_named("latest", data)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert all(store.get(hashlib.sha256(data).hexdigest()) == data for data in objects)
    assert store.get_named("latest") in objects


def eventually(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


WRITER = """
import random, sys
from services.core.artifacts import ArtifactStore
store, seed = ArtifactStore(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
while True:
    data = random.Random(seed % 40).randbytes(1 << 20)
    store.put(data)
    store.put_named("state", bytes([seed % 256]) * (1 << 20))
    seed += 1
"""


def test_killed_writers_leave_only_whole_objects(tmp_path: Path) -> None:
    url = f"file://{tmp_path}"
    for round_number in range(4):
        command = [sys.executable, "-c", WRITER, url]
        writers = [subprocess.Popen([*command, str(round_number * 10 + i)], stdout=subprocess.PIPE) for i in range(2)]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
        eventually(lambda n=round_number: len(list(tmp_path.glob("cas/*/*"))) > 8 * n)  # type: ignore[misc]
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
            assert writer.stdout is not None
            writer.stdout.close()
    objects = list(tmp_path.glob("cas/*/*"))
    assert objects
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.name for path in objects)
    state = ArtifactStore(url).get_named("state")
    assert len(state) == 1 << 20
    assert len(set(state)) == 1
