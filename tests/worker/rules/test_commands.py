"""Reading commands: scripts and settings, whatever the launcher."""

import pytest

from services.worker.rules.commands import number_of, plain, scripts_of, settings_of


@pytest.mark.parametrize(
    ("command", "scripts"),
    [
        ("python train.py --lr 1e-3", ("train.py",)),
        ("OMP_NUM_THREADS=1 python ./src/train.py", ("src/train.py",)),
        ("cd src && torchrun --nproc_per_node 8 train.py --batch-size 4", ("train.py",)),
        ("torchrun train.py \\\n  --epochs 3", ("train.py",)),
        ("pip install -q x; python prepare.py && python train.py > log", ("prepare.py", "train.py")),
        ("python -m torch.distributed.run train.py", ("train.py",)),
        ("python -m recipes.train --epochs 3", ("recipes.train",)),
        ("accelerate launch --num_processes 2 train.py cfg.yaml", ("train.py",)),
        ("bash run.sh", ("run.sh",)),
        ("python train.py; python train.py --more", ("train.py",)),
        ("export A=1 && trl sft --model x", ("trl sft",)),
        ("nice -n 5 llamafactory-cli train cfg.yaml", ("llamafactory-cli train",)),
        ("python train.py config/large.py", ("train.py",)),
        ("bash -lc 'cd a && python train.py --lr 1'", ("train.py",)),
        ("for lr in 1 2; do python train.py --lr $lr; done", ("train.py",)),
        ("cat > a.txt <<'END'\nsee other.py\nEND\npython train.py", ("train.py",)),
        ("python -c 'print(1)'", ()),
        ("python - <<'END'\nimport x\nopen('data.py')\nEND", ()),
        ("", ()),
    ],
)
def test_the_scripts_of_a_command_are_what_it_starts(command: str, scripts: tuple[str, ...]) -> None:
    assert scripts_of(command) == scripts


def test_a_command_that_no_shell_would_read_is_read_by_words() -> None:
    assert scripts_of("python train.py --name 'open") == ("train.py",)


def test_settings_are_flags_and_variables_by_plain_names() -> None:
    found = settings_of(
        "LR=3 python t.py --batch-size=8 --train.epochs 2 --fp16 > log -b 4 --shift -1 && x", {"SEED": "1"}
    )

    assert found == {
        "seed": "1",
        "lr": "3",
        "batch_size": "8",
        "epochs": "2",
        "fp16": "",
        "b": "4",
        "shift": "-1",
    }


@pytest.mark.parametrize(("text", "number"), [("8", 8.0), ("1e-3", 0.001), ("-2", -2.0), ("", None), ("x8", None)])
def test_a_number_is_one_or_none(text: str, number: float | None) -> None:
    assert number_of(text) == number
    assert plain("--Train.Batch-Size".lstrip("-")) == "batch_size"


@pytest.mark.parametrize(
    "command",
    [
        "",
        " " * 20_000,
        "'" * 20_001,
        "(" * 20_000,
        "<<A x\n" * 3_300,
        "bash -c " * 2_500,
        "--a=" * 5_000,
        "\0",
        "é\ud800",
    ],
    ids=range(9),
)
def test_whatever_a_command_is_it_is_read(command: str) -> None:
    assert isinstance(scripts_of(command), tuple)
    assert isinstance(settings_of(command, {}), dict)
