"""Keeping an install: whether its store is sound, what may leave it, what is garbage, and how it comes back.

For operators (`cohort admin`) and for the controller, which prunes by itself. Speaks to Redis and the artifact store,
never to the API.
"""
