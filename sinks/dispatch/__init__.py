"""Decisions of outreach to those who carry them out; `sinks.outreach` is the process."""
