"""The scripts. Each is headed by its keys, its arguments and its answers."""
