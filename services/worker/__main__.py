"""`python -m services.worker`: advance runs until told to stop."""

import sys

from services.core.errors import BadRequest
from services.core.logging import configure
from services.core.settings import WorkerSettings, load
from services.worker.app import serve
from services.worker.probes import CANNOT_LISTEN, CannotListen


def main() -> int:
    """Exit code 2 when the settings or the pools file are wrong, 3 when the port for probes is taken."""
    try:
        settings = load(WorkerSettings)
        configure("worker", settings.log_level, settings.log_format)
        serve(settings)
    except BadRequest as error:
        print(f"cohort worker: {error}", file=sys.stderr)
        return 2
    except CannotListen as error:
        print(f"cohort worker: {error}", file=sys.stderr)
        return CANNOT_LISTEN
    return 0


if __name__ == "__main__":
    sys.exit(main())
