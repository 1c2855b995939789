"""`cohort version`."""

from argparse import Namespace
from importlib.metadata import version


def run(_options: Namespace) -> int:
    """Print the version."""
    print(f"cohort {version('cohort')}")
    return 0
