"""The parameters that several routes share, with their limits as the OpenAPI document states them.

A value in a path that cannot be an id is answered as an id of nothing: 404.
"""

from typing import Annotated

from fastapi import Path, Query

MAX_NUMBER = 2**53 - 1

RunId = Annotated[str, Path(pattern=r"^r[0-9a-z]{12}$", description="A run's id.", examples=["rk3v9x2m4q8aa"])]
StepName = Annotated[str, Path(pattern=r"^[a-z][a-z0-9-]{0,23}$", description="A step's name.", examples=["train"])]
AttemptId = Annotated[
    str,
    Path(
        description="An attempt's id; `.` and a rank behind it where it runs on several nodes.",
        examples=["rk3v9x2m4q8aa-train-1"],
        # Not checked: no other id than an attempt's own has a token.
        json_schema_extra={"pattern": r"^r[0-9a-z]{12}-[a-z][a-z0-9-]{0,23}-[1-9][0-9]{0,5}(\.(0|[1-9][0-9]{0,4}))?$"},
    ),
]
Sha256 = Annotated[
    str, Path(pattern=r"^[0-9a-f]{64}$", description="A file's sha256 in hex.", examples=["e3b0c442" + "0" * 56])
]
FilePath = Annotated[
    str, Path(min_length=1, max_length=4096, description="A path with `/`.", examples=["model/weights.bin"])
]
AttemptNumber = Annotated[
    int | None, Query(ge=1, le=999_999, description="Which attempt at the step; the last one unless told.")
]
Rank = Annotated[
    int | None,
    Query(ge=0, le=99_999, description="Of a step on several nodes, the rank; all of them, line by line, unless told."),
]
After = Annotated[
    int,
    Query(
        ge=-MAX_NUMBER,
        le=MAX_NUMBER,
        description="The last event that is known already. A negative one counts from the end: -9 asks for nine.",
    ),
]
Snapshot = Annotated[
    str | None, Query(pattern=r"^[0-9a-f]{64}$", description="A snapshot of this run; the present one unless told.")
]
