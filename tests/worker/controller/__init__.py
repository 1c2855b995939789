"""The controller on a real store."""
