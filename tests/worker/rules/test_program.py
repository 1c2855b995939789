"""Reading programs: what a command names, and what that imports."""

import pytest

from services.core.workspace import Workspace
from services.worker.rules.program import read_program

FILES = {
    "train.py": "import model\nfrom lib import data, extra as more\nimport os, tools.io as io\n",
    "model.py": "from .layers import Layer\nprint('model')",
    "layers.py": "import numpy",
    "lib/__init__.py": "",
    "lib/data.py": "from ..shared import x",
    "lib/extra.py": "",
    "shared.py": "",
    "tools/io.py": "",
    "alone.py": "",
    "cfg/base.yaml": "lr: 1",
    "src/deep/run.py": "from deep.part import p",
    "src/deep/part.py": "",
    "loads.py": "import importlib",
    "run.sh": "set -e\npython model.py\npython -m tools.io \\\n  --out a\n",
}


@pytest.mark.parametrize(
    ("command", "main", "more"),
    [
        (
            "python train.py",
            ["train.py"],
            {"model.py", "layers.py", "lib/__init__.py", "lib/data.py", "lib/extra.py", "shared.py", "tools/io.py"},
        ),
        ("python alone.py --config cfg/base.yaml", ["alone.py", "cfg/base.yaml"], set()),
        ("python alone.py --config=base.yaml", ["alone.py", "cfg/base.yaml"], set()),
        ("cd src/deep && python run.py", ["src/deep/run.py"], {"src/deep/part.py"}),
        ("python -m lib.extra", ["lib/extra.py"], set()),
        ("bash run.sh", ["run.sh"], {"model.py", "layers.py", "tools/io.py"}),
        ("trl sft --model x", [], set()),
        ("python gone.py", [], set()),
    ],
)
def test_a_program_is_what_is_named_and_what_that_imports(
    workspace: Workspace, command: str, main: list[str], more: set[str]
) -> None:
    snapshot = workspace.import_files({path: text.encode() for path, text in FILES.items()})

    found = read_program(workspace, snapshot, command)

    assert sorted(found.main) == sorted(main)
    assert set(found.files) == {*main, *more}
    assert found.others == {}


def test_a_program_that_loads_what_it_does_not_name_may_load_anything(workspace: Workspace) -> None:
    snapshot = workspace.import_files({path: text.encode() for path, text in FILES.items()})

    found = read_program(workspace, snapshot, "python loads.py")

    assert set(found.files) == {"loads.py"}
    assert {"alone.py", "cfg/base.yaml"} <= set(found.others)
    assert "print('model')" in found.text


@pytest.mark.parametrize("data", [b"\xff\xfe\0binary", b"x" * (512 * 1024 + 1), b"", "print('ü')".encode()[:-4]])
def test_whatever_a_file_holds_it_is_read_or_left_out(workspace: Workspace, data: bytes) -> None:
    snapshot = workspace.import_files({"train.py": data})

    assert read_program(workspace, snapshot, "python train.py").main == ("train.py",)
