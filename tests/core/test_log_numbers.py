import math

from services.core.log_numbers import METRIC_BYTES, Numbers


def numbers(log: bytes, block: int = 256 << 10) -> Numbers:
    found = Numbers()
    for start in range(0, len(log), block):
        found.read(log[start : start + block])
    found.finish()
    return found


def steps(count: int) -> bytes:
    return b"".join(b"step=%d loss=%.5f\n" % (n, 2 - n * 1e-5) for n in range(count))


def test_a_small_log_is_read_whole() -> None:
    log = steps(2_000)
    assert len(log) < METRIC_BYTES
    found = numbers(log)
    assert found.is_whole
    assert found.table.series["loss"].count == 2_000


def test_of_a_large_log_both_ends_are_read_and_what_is_rare_between() -> None:
    log = steps(50_000) + b"step=50000 val_loss=0.25\nstep=50001 loss=nan\n" + steps(50_000)
    found = numbers(log)
    assert not found.is_whole
    loss = found.table.series["loss"]
    assert loss.first.step == 0 and loss.last.step == 49_999
    assert loss.bad is not None and math.isnan(loss.bad.value) and loss.bad.step == 50_001
    assert found.table.series["val_loss"].last.value == 0.25
    assert loss.count < 10_000


def test_the_last_bytes_are_kept_and_no_more() -> None:
    found = numbers(b"x" * 1_000_000)
    assert found.size == 1_000_000
    assert len(found.tail) <= METRIC_BYTES
