"""Debugging stories: a scripted agent, real programs that fail for real, and the whole stack between them."""
