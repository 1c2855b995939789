"""Cohort: a fleet of autonomous ML engineers. One package per service; `core` is what they agree on."""
