"""What a step's shell command says without being run: its scripts, its settings. Pure, and a guess at best.

Who asks must be able to live without an answer: a command can be anything.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from itertools import pairwise, takewhile


def names_in(text: str) -> frozenset[str]:
    """The words of the text, as a set."""
    return frozenset(text.split())


_CODE = (".py", ".sh", ".bash", ".ipynb", ".r", ".jl", ".pl", ".rb", ".js", ".lua")
_SEPARATORS = frozenset({";", "&&", "||", "|", "&", "(", ")", "\n"})
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_NUMBER = re.compile(r"-?\d[\d_]*(\.\d+)?([eE][+-]?\d+)?")
# What stands before the program that is meant, or prepares for it.
_WRAPPERS = names_in("env exec time nice nohup stdbuf timeout uv poetry run conda srun sudo")
_CHORES = names_in(
    "cd export set source . pip pip3 mkdir echo ls cp mv rm tar unzip wget curl cat test [ true sleep nvidia-smi "
    "apt-get ulimit chmod ln git printf pwd if then else fi for do done while"
)


def words_of(command: str) -> list[str]:
    """The command's words and separators as a shell would see them, roughly."""
    lexer = shlex.shlex(command.replace("\\\n", " ").replace("\n", " ; "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError:
        return command.split()


def scripts_of(command: str) -> tuple[str, ...]:
    """The programs that the command starts, as it names them: files of code, modules after `-m`; where there is none
    the executable with its subcommand. Empty where nobody can tell (`python -c …`)."""
    words = words_of(command)
    found = [word.removeprefix("./") for word in words if _is_code(word)]
    found += [module for flag, module in pairwise(words) if flag == "-m" and _is_module(module)]
    launchers = {"torch.distributed.run", "torch.distributed.launch", "accelerate.commands.launch"}
    named = tuple(dict.fromkeys(name for name in found if name not in launchers))
    return named or tuple(_executables(words))


def settings_of(command: str, env: Mapping[str, str]) -> dict[str, str]:
    """The command's flags and variables by plain names: `--Batch-Size 8` is batch_size: 8, a bare flag is ''."""
    found = {plain(name): value for name, value in env.items()}
    words = words_of(command)
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.startswith("-") and len(word) > 1 and not _NUMBER.fullmatch(word):
            name, equals, value = word.lstrip("-").partition("=")
            is_value = following and following not in _SEPARATORS and not _is_flag(following)
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


def _is_code(word: str) -> bool:
    return word.lower().endswith(_CODE) and not word.startswith("-") and "=" not in word and " " not in word


def _is_module(word: str) -> bool:
    return re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", word) is not None and word not in {"pip", "venv"}


def _is_flag(word: str) -> bool:
    return word.startswith("-") and not _NUMBER.fullmatch(word)


def _executables(words: list[str]) -> Iterator[str]:
    for segment in _segments(words):
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
