"""Tests of the executor on Kubernetes that need no cluster."""
