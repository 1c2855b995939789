"""What every record of Cohort is: frozen, and read leniently across versions."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A frozen record. Unknown keys of a newer version are kept out, missing ones take their defaults."""

    model_config = ConfigDict(frozen=True, extra="ignore")
