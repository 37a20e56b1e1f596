"""ClickHouse's native TCP protocol in front of chDB, the same engine without a server.

Run it with ``python -m deploy.local.clickhouse --data DIR --port N``.
"""
