"""Grafana's dashboards as tables (pipeline.py and its siblings), and what builds their JSON."""
