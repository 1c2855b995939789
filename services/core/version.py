"""Which Cohort this is. In images there is no installed package to ask: they hold the modules alone."""

VERSION = "0.1.0"
"""The same as in pyproject.toml; a test holds the two together."""
