"""The REST API, the streams of events, and the runner's ingest. Never imports the worker."""
