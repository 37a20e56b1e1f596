# Read by ClickHouse's image at every start, after users.sql: Grafana's user may log in.
clickhouse-client --user "$CLICKHOUSE_USER" --password "$CLICKHOUSE_PASSWORD" <<SQL
ALTER USER journey_grafana IDENTIFIED BY '$GRAFANA_CLICKHOUSE_PASSWORD' HOST ANY
SQL
