"""The worker: turns, controller, executors."""
