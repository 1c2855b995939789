"""What one service needs of constraints.txt, hashes and all, for `pip install --require-hashes --no-deps`:

    python pins.py pyproject.toml constraints.txt WANTED… > requirements.txt

WANTED is an extra of the project, which brings what the project always needs, or else the name of a package.
Who needs what is read from the `# via` comments that pip-compile leaves behind, so this resolves nothing itself; it may
name a package too many (one that only another extra's options ask for), never one too few.
"""

import re
import sys
import tomllib
from pathlib import Path

NAME = re.compile(r"[A-Za-z0-9._-]+")
EXTRAS = re.compile(r"\[([^\]]*)\]")


def main(project: Path, constraints: Path, wanted: list[str]) -> str:
    """The pinned requirements of these extras and packages, and of all that they need."""
    pins, needed_by = read(constraints.read_text())
    table = tomllib.loads(project.read_text())["project"]
    extras = [name for name in wanted if name in table["optional-dependencies"]]
    named = [name for name in wanted if name not in extras] + (required(table, extras) if extras else [])
    waiting = [canonical(name) for name in named]
    chosen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in chosen:
            chosen.add(name)
            waiting += [other for other, users in needed_by.items() if name in users]
    missing = sorted(chosen - set(pins))
    if missing:
        raise SystemExit(f"constraints.txt does not pin {', '.join(missing)}; run `make lock`")
    return "\n".join(pins[name] for name in sorted(chosen)) + "\n"


def required(project: dict[str, object], extras: list[str]) -> list[str]:
    """The packages that the project names for these extras; an extra may name others as `cohort[…]`."""
    optional: dict[str, list[str]] = project["optional-dependencies"]  # type: ignore[assignment]
    requirements: list[str] = list(project["dependencies"])  # type: ignore[call-overload]
    for extra in extras:
        requirements += optional[extra]
    names = []
    for requirement in requirements:
        name = NAME.match(requirement)
        assert name is not None
        further = EXTRAS.search(requirement)
        if name[0] == project["name"] and further:
            names += required({**project, "dependencies": []}, [extra.strip() for extra in further[1].split(",")])
        else:
            names.append(name[0])
    return names


def read(text: str) -> tuple[dict[str, str], dict[str, set[str]]]:
    """Of each package its lines with version and hashes, and who needs it."""
    pins: dict[str, str] = {}
    users: dict[str, set[str]] = {}
    name = ""
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            name = canonical(line.partition("==")[0])
            pins[name], users[name] = line, set()
        elif line.strip().startswith("--hash"):
            pins[name] += f"\n{line}"
        elif line.strip().startswith("#"):
            user = line.strip().lstrip("# ").removeprefix("via").strip()
            users.setdefault(name, set()).add(canonical(user))
    return pins, users


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.partition("[")[0].strip()).lower()


if __name__ == "__main__":
    sys.stdout.write(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
