"""The agent's turns, the controller, and the executors that run attempts."""
