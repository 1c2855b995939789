"""What is fast is measured here, never in a timed test. `make bench` prints a table and writes JSON."""
