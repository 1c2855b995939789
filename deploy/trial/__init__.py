"""Cohort installed on a cluster for a while, as tests and benchmarks need it: API, worker and controller as pods.

Not how it is deployed for good: Redis and the scripted model run on this machine, and all state goes with it.
"""
