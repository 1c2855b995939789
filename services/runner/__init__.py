"""What runs beside the user's program: the shim that keeps its output, and the sidecar that ships it."""
