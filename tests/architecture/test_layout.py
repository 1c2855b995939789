"""The layout shows the architecture: small modules with contracts, Lua in files, tests beside what they test."""

import ast
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVICES = ROOT / "services"
# Programs as an agent writes them, not ours.
MODULES = [path for path in sorted(SERVICES.rglob("*.py")) if "playbooks" not in path.parts]
SCRIPTS = sorted(SERVICES.rglob("*.lua"))
VAGUE = {"utils", "util", "helpers", "common", "manager", "handler", "misc", "base"}

# A module is read in one sitting. These are longer, for a reason.
LONGER = {
    "services/core/events.py": 400,  # One short class for each kind of event; their list is the contract.
    "services/core/store.py": 370,  # Every write of a run's log, which is one script.
    "services/runner/shim.py": 690,  # Runs alone in any image, so it cannot import a second module.
}
MODULE_LINES = 300
FUNCTION_LINES = 45


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_modules_are_short_and_say_what_they_are_for() -> None:
    texts = {name_of(path): path.read_text() for path in MODULES}
    assert [name for name, text in texts.items() if text.count("\n") > LONGER.get(name, MODULE_LINES)] == []
    assert [name for name, text in texts.items() if text.strip() and not ast.get_docstring(ast.parse(text))] == []


def test_functions_are_short() -> None:
    long = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if is_function and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES:
                long.append(f"{name_of(path)}:{node.name}")
    assert long == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [name_of(path) for path in MODULES if path.stem in VAGUE] == []


def test_a_script_opens_with_its_keys_its_arguments_and_its_answers() -> None:
    silent = []
    for path in SCRIPTS:
        head = "".join(takewhile(lambda line: line.startswith("--"), path.read_text().splitlines()))
        if not all(word in head for word in ("KEYS", "ARGV", "->")):
            silent.append(name_of(path))
    assert silent == []


def test_a_package_of_tests_is_named_after_a_service() -> None:
    ours = {path.name for path in SERVICES.iterdir() if path.is_dir()}
    beside = {"architecture", "cluster", "crash", "deploy", "e2e", "stories", "web"}
    found = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert found <= ours | beside
