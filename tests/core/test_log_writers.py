import pytest

from services.core.log_writers import Raw, Writers, writer_of


@pytest.mark.parametrize(
    ("line", "writer"),
    [
        (b"step 1", b""),
        (b"[rank3] step 1", b"3"),
        (b"[rank12]: Traceback", b"12"),
        (b"[default2]:[rank5]: x", b"2"),
        (b"[RANK 0] x", b"0"),
        (b"[1,7]<stdout>: x", b"7"),
        (b"(TrainWorker pid=4711) x", b"4711"),
        (b"node-3: x", b"3"),
        (b"[12]\ttrain-rmse:0.5", b""),
        (b"rank", b""),
    ],
)
def test_a_launchers_prefix_says_who_wrote(line: bytes, writer: bytes) -> None:
    assert writer_of(line) == writer


def added(lines: list[bytes], at_once: bool) -> Writers:
    writers, raw = Writers(), b"\n".join(lines) + b"\n"
    if at_once:
        assert writers.add_all(lines, 100, 7, raw, 100) == (100 + len(raw), 7 + len(lines))
        return writers
    offset = 100
    for number, line in enumerate(lines, 7):
        writers.add(writer_of(line), Raw(offset, number, line))
        offset += len(line) + 1
    return writers


@pytest.mark.parametrize("prefix", ["", "[rank%d] "])
def test_many_lines_at_once_are_the_same_as_one_by_one(prefix: str) -> None:
    lines = [((prefix % (n % 3) if prefix else "") + f"step {n}").encode() for n in range(500)]
    one, other = added(lines, True), added(lines, False)
    assert one.names == other.names
    assert one.counts == other.counts
    for name in one.names:
        assert one.last_of(name) == other.last_of(name)
        assert one.last_of_others(name) == other.last_of_others(name)


def test_the_last_lines_are_those_of_one_writer_and_one_of_each_other() -> None:
    writers = added([b"a", b"[rank1] b", b"[rank1] c", b"d", b"   "], False)
    assert [line.data for line in writers.last_of(b"")] == [b"a", b"d"]
    assert [line.data for line in writers.last_of_others(b"")] == [b"[rank1] c"]


def test_of_a_bar_only_the_last_state_is_kept() -> None:
    writers = added([b"start", *[b"train: %d%%|#| 1/2" % n for n in range(50)]], False)
    assert [line.data for line in writers.last_of(b"")] == [b"start", b"train: 49%|#| 1/2"]


def test_writers_are_bounded() -> None:
    writers = added([b"[rank%d] x" % n for n in range(1_000)], True)
    assert len(writers.names) == 64
