"""What a step's shell command says without being run: its scripts, its settings. Pure, and a guess at best.

Who asks must be able to live without an answer: a command can be anything.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import takewhile


def names_in(text: str) -> frozenset[str]:
    """The words of the text, as a set."""
    return frozenset(text.split())


_CODE = (".py", ".sh", ".bash", ".ipynb", ".r", ".jl", ".pl", ".rb", ".js", ".lua")
_SEPARATORS = frozenset({";", "&&", "||", "|", "&", "(", ")", "\n"})
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_HERE_DOCUMENT = re.compile(r"(<<-?\s*['\"]?(\w+)['\"]?[^\n]*)\n.*?\n\s*\2\s*$", re.DOTALL | re.MULTILINE)
# To find the ends of many takes long, and nobody writes many.
_MOST_HERE_DOCUMENTS = 20
# Modules after `-m` that start another program, or none that counts.
_NO_PROGRAMS = names_in("pip venv torch.distributed.run torch.distributed.launch accelerate.commands.launch")
_NUMBER = re.compile(r"-?\d[\d_]*(\.\d+)?([eE][+-]?\d+)?")
# What stands before the program that is meant, or prepares for it.
_WRAPPERS = names_in("env exec time nice nohup stdbuf timeout uv poetry run conda srun sudo")
_CHORES = names_in(
    "cd export set source . pip pip3 mkdir echo ls cp mv rm tar unzip wget curl cat test [ true sleep nvidia-smi "
    "apt-get ulimit chmod ln git printf pwd if then else fi for do done while"
)


def words_of(command: str) -> list[str]:
    """The command's words and separators as a shell would see them, roughly, without what is in here-documents."""
    if command.count("<<") <= _MOST_HERE_DOCUMENTS:
        command = _HERE_DOCUMENT.sub(r"\1", command)
    lexer = shlex.shlex(command.replace("\\\n", " ").replace("\n", " ; "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return [*_unwrapped(list(lexer))]
    except ValueError:
        return command.split()


def _unwrapped(words: list[str]) -> Iterator[str]:
    """The words with those of `bash -c "…"` in its place."""
    for shell, option, word in zip(["", "", *words], ["", *words], words, strict=False):
        is_shell = shell.rpartition("/")[2] in {"bash", "sh"} and re.fullmatch(r"-[a-z]*c", option)
        yield from ([";", *words_of(word), ";"] if is_shell else [word])


@lru_cache(maxsize=1024)
def scripts_of(command: str) -> tuple[str, ...]:
    """The programs that the command starts, as it names them: of each part the first file of code, or the module after
    `-m`; where there is none the executable with its subcommand. Empty where nobody can tell (`python -c …`)."""
    segments = list(_segments(words_of(command)))
    named = tuple(dict.fromkeys(script for one in segments if (script := _script(one))))
    return named or tuple(_executables(segments))


def settings_of(command: str, env: Mapping[str, str]) -> dict[str, str]:
    """The command's flags and variables by plain names: `--Batch-Size 8` is batch_size: 8, a bare flag is ''."""
    found = {plain(name): value for name, value in env.items()}
    words = words_of(command)
    for word, following in zip(words, [*words, ""][1:], strict=True):
        if word.startswith("-") and len(word) > 1 and not _NUMBER.fullmatch(word):
            name, equals, value = word.lstrip("-").partition("=")
            is_value = following and following[0] not in "<>|&;()" and not _is_flag(following)
            found[plain(name)] = value if equals else following if is_value else ""
        elif assignment := _ASSIGNMENT.fullmatch(word):
            found[plain(assignment[1])] = assignment[2]
    return found


def plain(name: str) -> str:
    """A setting's name whatever its style: `--train.Batch-Size` is batch_size."""
    return name.rpartition(".")[2].replace("-", "_").lower()


def number_of(text: str | None) -> float | None:
    """The number that the text is, if it is one."""
    return float(text) if text is not None and _NUMBER.fullmatch(text) else None


def _script(segment: list[str]) -> str:
    """What one part of a command runs; a further file of code is an argument of it. '' where that is not to be seen."""
    for word, following in zip(segment, [*segment[1:], ""], strict=True):
        if word == "-m" and _is_module(following):
            return following
        if _is_code(word):
            return word.removeprefix("./")
    return ""


def _is_code(word: str) -> bool:
    return word.lower().endswith(_CODE) and not word.startswith("-") and "=" not in word and " " not in word


def _is_module(word: str) -> bool:
    return re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", word) is not None and word not in _NO_PROGRAMS


def _is_flag(word: str) -> bool:
    return word.startswith("-") and not _NUMBER.fullmatch(word)


def _executables(segments: list[list[str]]) -> Iterator[str]:
    for segment in segments:
        rest = [word for word in segment if not _ASSIGNMENT.fullmatch(word)]
        while rest and (rest[0] in _WRAPPERS or rest[0].startswith("-") or _NUMBER.match(rest[0])):
            rest = rest[1:]
        is_inline = bool(rest) and rest[0].rpartition("/")[2].startswith(("python", "bash", "sh", "perl", "node"))
        if rest and not is_inline and rest[0] not in _CHORES:
            subcommand = [*takewhile(lambda word: re.fullmatch(r"[a-z][a-z0-9_-]*", word), rest[1:2])]
            yield " ".join([rest[0], *subcommand])


def _segments(words: list[str]) -> Iterator[list[str]]:
    segment: list[str] = []
    for word in [*words, ";"]:
        if word in _SEPARATORS:
            if segment:
                yield segment
            segment = []
        else:
            segment.append(word)
