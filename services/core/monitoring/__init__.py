"""What Cohort's processes tell Prometheus of themselves, in names and labels that all of them share.

- `series`: what a series is called, what it means, and which labels it has. Pure.
- `instruments`: one process's registry. The one door to prometheus_client.
- `run_series`: the series of what is appended to the runs' logs.
- `tally`: what an appended event counts for. Pure.
- `counting`: counts what this process appends.
- `hints`: counts the hints that this process publishes.
- `rosters`: names that are many, kept to the first so many.
- `page`: the table of docs/monitoring.md. Pure.

No label names a run, a step, an attempt or a key: each of those would be a series of its own, for ever.
"""
