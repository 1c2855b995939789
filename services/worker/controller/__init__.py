"""The controller: one leader that makes the world as the runs' logs want it, and tells the logs what the world did."""
