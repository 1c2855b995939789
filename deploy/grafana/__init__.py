"""Grafana's dashboards as code. `make dashboards` writes their JSON into the chart; a test holds the two equal.

One module a dashboard; `promql` has the forms of their queries, `panels` the kinds of panels, `board` what all share.
"""
