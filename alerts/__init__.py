"""Alertmanager's alerts on customers, turned into requests to the guard of outreach."""
