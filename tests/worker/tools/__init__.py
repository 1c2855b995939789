"""The agent's tools, each on real stores."""
