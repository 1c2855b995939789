import json
import math
import re

import pytest
from hypothesis import assume, given, settings, strategies as st

from services.core.loglines import clean
from services.core.metric_forms import Forms
from services.core.metric_styles import read
from services.core.series import Metric, Progress, SeriesParser, progress


def series(*pieces: bytes) -> list[Metric]:
    parser = SeriesParser()
    return [metric for piece in pieces for metric in parser.feed(piece)] + parser.finish()


def shown(*lines: str) -> list[Metric]:
    return series("\n".join(lines).encode())


LINES: list[tuple[str, list[Metric]]] = [
    ("epoch=3 loss=0.5 acc=0.91", [Metric("loss", 0.5, epoch=3), Metric("acc", 0.91, epoch=3)]),
    ("[INFO] step=10 loss=2.30e-01 lr=1e-3 ETA 0:50:00", [Metric("loss", 0.23, 10), Metric("lr", 0.001, 10)]),
    (
        "Epoch: 22  Train Loss: 2.2897  Val Acc: 0.084",
        [Metric("Train_Loss", 2.2897, epoch=22), Metric("Val_Acc", 0.084, epoch=22)],
    ),
    (
        "Epoch 6/10 | train loss 0.862 | val acc 90.6%",
        [Metric("train_loss", 0.862, epoch=6), Metric("val_acc", 90.6, epoch=6, unit="%")],
    ),
    ("step 100/200: loss=nan", [Metric("loss", math.nan, 100)]),
    ("iter 7: loss: -inf", [Metric("loss", -math.inf, 7)]),
    ("[rank 1] epoch 1 iter 20/30 loss 0.2584", [Metric("loss", 0.2584, 20, 1, 1)]),
    ("[rank0]: step 5 loss: 1.5", [Metric("loss", 1.5, 5, None, 0)]),
    (
        "[8]\ttrain-mlogloss:0.09493\tval-merror:0.04722",
        [Metric("train-mlogloss", 0.09493, 8), Metric("val-merror", 0.04722, 8)],
    ),
    ("[0/3][15/28] Loss_D: 1.3915 Loss_G: 0.6408", [Metric("Loss_D", 1.3915, 15, 0), Metric("Loss_G", 0.6408, 15, 0)]),
    (
        "Epoch(train) [3][10/40]  lr: 1.0e-01  eta: 0:00:00  loss: 0.2398",
        [Metric("lr", 0.1, 10, 3, split="train"), Metric("loss", 0.2398, 10, 3, split="train")],
    ),
    ("eval epoch: 4, loss: 0.6120", [Metric("eval_loss", 0.612, epoch=4, split="eval")]),
    ("val_loss: 0.3707, val_acc: 0.9327", [Metric("val_loss", 0.3707), Metric("val_acc", 0.9327)]),
    (
        "{'loss': 0.0586, 'grad_norm': 0.218, 'epoch': 1.25}",
        [Metric("loss", 0.0586, epoch=1.25), Metric("grad_norm", 0.218, epoch=1.25)],
    ),
    ("{'eval_loss': '0.1706', 'epoch': '2'}", [Metric("eval_loss", 0.1706, epoch=2)]),
    ("epoch 0: {'accuracy': 0.774, 'f1': nan}", [Metric("accuracy", 0.774, epoch=0), Metric("f1", math.nan, epoch=0)]),
    (
        '{"step": 5, "loss": NaN, "note": "x", "lr": 1e-4, "ok": true}',
        [Metric("loss", math.nan, 5), Metric("lr", 1e-4, 5)],
    ),
    ('{"epoch": 2, "rank": 3, "loss": 1}', [Metric("loss", 1.0, None, 2, 3)]),
    ('{"step": 1e300, "loss": 1, "epoch": Infinity}', [Metric("loss", 1.0)]),
    ("\x1b[1mepoch 1\x1b[0m loss=\x1b[32m0.5\x1b[0m", [Metric("loss", 0.5, epoch=1)]),
]

NO_METRICS = [
    "",
    "Downloading: 12.5MB at 3.2 MB/s in 4.1s",
    "2026-11-20 23:07:47,123 INFO worker 3 started, port=8080 host=10.0.0.1 retries=3 for the client",
    "torch==2.13.0 numpy>=1.26",
    "Traceback (most recent call last):",
    '  File "train.py", line 12, in <module>',
    "epoch 3 took 12.5s, saved to ckpt-3.pt",
    "Total params: 4,810 (18.79 KB)",
    "RuntimeError: shape mismatch: got 3 and 4",
    "{'epoch': 3}",
    "[1, 2, 3]",
    "{" * 1000,
    '{"a": ' * 5000 + "1" + "}" * 5000,
]


def same(found: list[Metric], wanted: list[Metric]) -> bool:
    return list(map(repr, found)) == [
        repr(Metric(m[0], float(m[1]), m[2], None if m[3] is None else float(m[3]), *m[4:])) for m in wanted
    ]


@pytest.mark.parametrize(("line", "wanted"), LINES)
def test_a_line_gives_its_metrics(line: str, wanted: list[Metric]) -> None:
    assert same(shown(line), wanted), shown(line)


@pytest.mark.parametrize("line", NO_METRICS)
def test_other_lines_give_none(line: str) -> None:
    assert shown(line) == []


@pytest.mark.parametrize(("line", "wanted"), LINES)
def test_the_hundredth_line_of_a_form_is_read_like_the_first(line: str, wanted: list[Metric]) -> None:
    assert same(shown(*[line] * 5), wanted * 5)


def test_the_numbers_of_each_line_are_its_own() -> None:
    lines = [
        f"[rank{i % 2}] epoch {i // 10} step {i}: loss={1 / (i + 1):.6g} top{i % 3}: -{i}.5e-1" for i in range(200)
    ]
    assert shown(*lines) == [
        metric
        for i in range(200)
        for metric in (
            Metric("loss", float(f"{1 / (i + 1):.6g}"), i, i // 10, i % 2),
            Metric(f"top{i % 3}", float(f"-{i}.5e-1"), i, i // 10, i % 2),
        )
    ]


def test_a_number_inside_a_name_stays_in_the_name() -> None:
    assert {metric.name for metric in shown(*[f"step {i}: loss/{i % 3}/x=0.5" for i in range(30)])} == {
        "loss/0/x",
        "loss/1/x",
        "loss/2/x",
    }


def test_a_heading_gives_its_epoch_to_the_block_below() -> None:
    assert shown("Epoch 1/2", "loss: 0.5", "Epoch 2/2", "loss: 0.4") == [
        Metric("loss", 0.5, epoch=1),
        Metric("loss", 0.4, epoch=2),
    ]


def test_of_a_bar_only_the_last_state_counts() -> None:
    bar = "".join(
        f"\rEpoch {e}: {i}%|###  | {i}/100 [00:00<00:00, 9.1it/s, loss={i + e}.5]" for e in (1, 2) for i in range(101)
    )
    found = shown(f"{bar}\n\r          \rval_loss: 0.25")
    assert found == [
        Metric("loss", 101.5, epoch=1),
        Metric("val_loss", 0.25, epoch=2),
        Metric("loss", 102.5, epoch=2),
    ]


def test_keras_rewrites_its_bar_by_stepping_back() -> None:
    state = "\x08" * 40 + "\r{}/47 ━━━━━━━ 0s 4ms/step - accuracy: 0.{} - loss: 1.8"
    text = "".join("Epoch {}/2\n{}\n".format(e, "".join(state.format(i, i) for i in (10, 20, 47))) for e in (1, 2))
    assert shown(text) == [
        Metric("accuracy", 0.47, epoch=1),
        Metric("loss", 1.8, epoch=1),
        Metric("accuracy", 0.47, epoch=2),
        Metric("loss", 1.8, epoch=2),
    ]


def test_of_a_rewritten_line_only_the_last_state_counts() -> None:
    assert shown("step 1 loss=3\rstep 2 loss=2\rstep 3 loss=1\nstep 4 loss=0.5\r\nstep 5 loss=0.4\r\n") == [
        Metric("loss", 1.0, 3),
        Metric("loss", 0.5, 4),
        Metric("loss", 0.4, 5),
    ]


PIECES = [line.encode() for line, _ in LINES] + [line.encode() for line in NO_METRICS[:10]]
PIECES += [
    b"\r 50%|##| 1/2 [00:01<00:00, loss=2]",
    b"\r100%|##| 2/2 [00:01<00:00, loss=1]",
    b"Epoch 2/3",
    b"\xff\xfe\0",
    "损失=0.5 é".encode(),
]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from([b"\n", b"\r\n", b"\r", b""])), max_size=25), st.data()
)
def test_any_cut_of_the_bytes_gives_the_same_series(parts: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    whole = b"".join(line + end for line, end in parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert repr(series(*pieces)) == repr(series(whole))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([line for line, _ in LINES]), st.lists(st.integers(0, 10**18), min_size=9, max_size=9)
        ),
        max_size=20,
    )
)
def test_remembering_forms_changes_nothing(rows: list[tuple[str, list[int]]]) -> None:
    forms = Forms(read)
    for line, numbers in rows:
        for digit, number in enumerate(numbers):
            line = line.replace(str(digit + 1), str(number % 10 ** (digit + 1)), 1)
        # A plan knows where the numbers stand and takes 00 for one, which JSON does not.
        assume(not (line.startswith("{") and re.search(r"\b0[0-9]", line)))
        text, wanted = clean(line), repr(read(clean(line)))
        for _ in range(3):
            assert repr(forms.read(text, line.encode())) == wanted
        filled = forms.filled(line.encode())
        assert filled is None or repr(filled) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "a" * 10**6,
        "a-" * 10**5,
        "step 1 " + "a/" * 10**5,
        "epoch 1 " + "loss" * 10**5,
        "1/2 [" * 10**5,
        "step 1 " + "x=1 " * 10**5,
        "1" * 10**6,
        "|" * 10**6,
        "9%|" * 10**5,
        "{'" * 10**5,
        "[1][" * 10**5,
        "\0" * 10**6,
        "\r" * 10**6,
        "epoch" + " " * 10**6,
    ],
)
def test_no_line_makes_the_parser_hang(text: str) -> None:
    found = shown(text, "epoch 1 loss=0.5")
    assert found[-1].name == "loss"


def test_what_comes_out_can_be_sent_as_json() -> None:
    found = shown(
        "epoch 999999999.999999999 loss=1e999",
        '{"step": 1e17, "epoch": 1e999, "loss": 2}',
        "step 123456789012345678 loss=1",
    )
    for metric in found:
        assert metric.step is None or abs(metric.step) <= 2**53
        assert metric.epoch is None or math.isfinite(metric.epoch)
    assert json.dumps(found)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("step 12/100 loss=0.5", Progress(0.12, "step 12/100")),
        ("Epoch [3/10]", Progress(0.3, "Epoch [3/10")),
        ("epoch 3 of 10", Progress(0.3, "epoch 3 of 10")),
        ("Training:  45%|████▌     | 45/100 [00:10<00:12, 4.5it/s]", Progress(0.45, "Training 45%", 12)),
        ("step 12 loss=0.5", None),
        ("step 12/0", None),
        ("step 12/3", None),
        ("loss 3/4", None),
        ("", None),
    ],
)
def test_progress_is_what_the_line_says(line: str, wanted: Progress | None) -> None:
    assert progress(line) == wanted
