"""`cohort version`."""

from argparse import Namespace

from services.core.version import VERSION


def run(_options: Namespace) -> int:
    """Print the version."""
    print(f"cohort {VERSION}")
    return 0
