"""Amounts as people write them: `40Gi` of memory, `500m` of a CPU core. Pure.

Memory is read as Kubernetes reads it and a little more kindly: a `B` at the end, a space and small letters are taken
too, so `4 gib` is 4 GiB. Milli-bytes do not exist.
"""

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

_BYTES = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*(Ki|Mi|Gi|Ti|K|M|G|T)?B?", re.IGNORECASE)
_CORES = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(m?)")
_UNITS = {
    "": 1,
    **{"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12},
    **{"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40},
}
_MOST = 2**60


def bytes_of(value: object) -> int:
    """Bytes of `4GiB`, `512M` or a plain number. Raises `ValueError` that says how to write it."""
    match = _BYTES.fullmatch(_text(value))
    if match is None:
        raise ValueError(f"{_shown(value)} is no amount of memory; write it like 4Gi or 512Mi")
    amount = float(match[1]) * _UNITS[(match[2] or "").lower()]
    if not 1 <= amount <= _MOST:
        raise ValueError(f"{_shown(value)} is no amount of memory that a machine has")
    return int(amount)


def cores_of(value: object) -> float:
    """CPU cores of `500m`, `4` or 1.5. Raises `ValueError` that says how to write it."""
    match = _CORES.fullmatch(_text(value))
    if match is None:
        raise ValueError(f"{_shown(value)} is no number of CPU cores; write it like 4, 0.5 or 500m")
    cores = float(match[1]) / (1_000 if match[2] else 1)
    if not 0.001 <= cores <= 100_000:
        raise ValueError(f"{_shown(value)} is no number of CPU cores that a machine has")
    return cores


def in_bytes(amount: int) -> str:
    """An amount of memory for people: `40Gi`, `1.5Gi`, `300Mi`."""
    for unit, size in (("Ti", 2**40), ("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
        if amount >= size:
            return f"{round(amount / size, 1):g}{unit}"
    return str(amount)


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    if isinstance(value, float):
        return f"{value:.9f}" if math.isfinite(value) else ""
    return str(value).strip()


def _shown(value: object) -> str:
    return repr(value)[:80]


def _amount(example: str, description: str) -> Any:
    kinds = [{"type": "string", "examples": [example], "maxLength": 40}, {"type": "number", "exclusiveMinimum": 0}]
    return WithJsonSchema({"anyOf": kinds, "description": description})


Bytes = Annotated[int, BeforeValidator(bytes_of), _amount("40Gi", "Bytes, or an amount such as 40Gi.")]
Cores = Annotated[float, BeforeValidator(cores_of), _amount("500m", "CPU cores, or thousandths such as 500m.")]
