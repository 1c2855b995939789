"""One contract, every executor."""
