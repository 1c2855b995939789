"""What stands before the text of a line: which process wrote it, and what logging libraries put there.

Pure functions on a clean line. Patterns don't count digits, so that a line read with other numbers is read alike.
"""

import re

from services.core.metric_places import whole

_STAMP = (
    r"(?:\d+[-/.]\d+[-/.]\d+[T ]+)?\d+:\d+:\d+(?:[.,]\d+)?(?:Z|[+-]\d+:?\d*)?|\d+[-/]\d+[-/]\d+|\d+[/-]\d+ \d+:\d+:\d+"
)
_LEVEL = r"(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|SUCCESS|CRITICAL|[IWED])"
_PREFIX = re.compile(
    r"\s{0,8}(?:"
    # Which process: torch, torchrun, mpirun and horovod, examples of distributed training, Ray.
    r"\[?\(?(?:local_|global_)?(?:rank|default|gpu)[\s:=_-]{0,2}(?P<rank>\d+)(?!/)\s?\]?\)?[\s:,|]{0,3}(?=\S)"
    r"|\[\d+,(?P<mpi>\d+)\](?:<std(?:out|err)>)?:"
    r"|\(\w{1,60}(?:\(\w{1,60}\))? pid=\d+(?:, ip=[\d.]+)?\)"
    # When.
    rf"|[\[(]?(?:{_STAMP})(?!\S*%)[\])]?[\s|,-]{{0,4}}(?=\s|\||\w|\[)"
    # glog: I1120 22:36:53.007000 25597 file.py:874]
    r"|[IWEF]\d+ \d+:\d+:\d+\.\d+ \s{0,4}\d+ [\w./-]{1,200}:\d+\]"
    # How grave, and who says so.
    rf"|\[?{_LEVEL}\s{{0,8}}\]?(?:[:|]|\s?-|\s(?=\S))(?:[\w.]{{1,80}}:(?!\s))?"
    rf"|(?:- )?[\w.-]{{1,60}} (?:- )?{_LEVEL}(?::| -)"
    rf"|-\s+(?:{_LEVEL}\s+-)?(?:\s*__main__\s+-)?"
    r"|\[[\w./-]{1,60}\.py:\d+(?::\w{1,60})?\]|[\w.]{1,80}:[\w<>]{1,60}:\d+ - "
    r"|\[\d+-\d+-\d+ [\d:.,]+ [\w.]{1,60}\]\s{0,4}:|\[[\d/]+ [\d:]+ [\w.]{1,60}\]:"
    r"|\[\d+[/-]\d+(?:[/-]\d+)? \d+:\d+:\d+\]"
    r"|[|*]\s(?=\S)"
    r")\s{0,8}",
    re.IGNORECASE,
)
_SRUN = re.compile(r"(\d+): (?=\D*(?:epoch|step|iter))", re.IGNORECASE)
_MOST = 8


def without_prefix(text: str) -> tuple[int | None, str]:
    """The rank that a line's prefix names, and the line without what logging put before it."""
    rank: int | None = None
    start = 0
    for _ in range(_MOST):
        found = _PREFIX.match(text, start)
        if found is None or found.end() == start:
            break
        number = found["rank"] or found["mpi"]
        rank = whole(float(number)) if number and rank is None else rank
        start = found.end()
    if rank is None and start == 0 and (found := _SRUN.match(text)):
        return whole(float(found[1])), text[found.end() :]
    return rank, text[start:] if start else text
