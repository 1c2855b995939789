"""What every record of Cohort is: frozen, and read leniently across versions.

A record that is written back by whoever reads it carries a `version`. Fields may come with the same version only where
leaving them out loses nothing; all else is a new version, which older processes refuse: they must not write it back.
"""

import re
from typing import Self

from pydantic import BaseModel, ConfigDict

from services.core.errors import NewerRecord

_VERSION = re.compile(rb'"version"\s*:\s*(\d+)')


class Record(BaseModel):
    """A frozen record. Unknown keys of a newer version are kept out, missing ones take their defaults."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Versioned(Record):
    """A record that is read, changed and written back, by processes of two versions during an upgrade."""

    version: int = 1

    @classmethod
    def read(cls, text: str | bytes) -> Self:
        """The record in a JSON text. Raises `NewerRecord` for one of a version that this process does not know, and
        `ValueError` for one that cannot be read."""
        known, found = cls.model_fields["version"].default, _version_in(text)
        if found > known:
            what = f"a {cls.__name__} is of version {found}, and this process knows {known}"
            raise NewerRecord(f"{what}: upgrade it, or wait until the upgrade is over")
        return cls.model_validate_json(text)


def _version_in(text: str | bytes) -> int:
    """The version that a record's text begins with; 1 for one of before there were any."""
    head = text.encode()[:64] if isinstance(text, str) else text[:64]
    found = _VERSION.search(head)
    return int(found[1]) if found else 1
