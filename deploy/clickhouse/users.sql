-- Users of ClickHouse, each with what it does and no more. Run it as an administrator:
--   clickhouse-client --multiquery < deploy/clickhouse/users.sql
-- Nobody can log in until a password and a host are set, for each user:
--   ALTER USER journey_sink IDENTIFIED BY '…' HOST ANY;
-- The database is called journey; where yours is not, change it here. On a cluster, run it on each
-- server, or with ON CLUSTER, or keep users in Keeper; the tables called _local are a cluster's.

CREATE SETTINGS PROFILE IF NOT EXISTS journey_reading SETTINGS
    readonly = 2,
    max_execution_time = 60 MAX 300,
    max_memory_usage = 4000000000 MAX 8000000000,
    max_result_rows = 1000000 MAX 10000000;

CREATE QUOTA IF NOT EXISTS journey_reading KEYED BY user_name
    FOR INTERVAL 1 minute MAX queries = 3000, execution_time = 300;

-- `journey sink`: it inserts, looks at the columns it inserts into, and lets readers see identities.
CREATE ROLE IF NOT EXISTS journey_sink;
GRANT INSERT, SHOW COLUMNS ON journey.touchpoints TO journey_sink;
GRANT INSERT, SHOW COLUMNS ON journey.identity_links TO journey_sink;
GRANT INSERT, SHOW COLUMNS ON journey.identity_members TO journey_sink;
GRANT INSERT, SHOW COLUMNS ON journey.parts TO journey_sink;
GRANT INSERT, SHOW COLUMNS ON journey.health TO journey_sink;
GRANT INSERT, SHOW COLUMNS ON journey.outreach TO journey_sink;
GRANT INSERT, SHOW COLUMNS ON journey.accounts TO journey_sink;
GRANT INSERT, SHOW COLUMNS ON journey.outreach_outcomes TO journey_sink;
GRANT INSERT, SHOW COLUMNS ON journey.dead_letters TO journey_sink;
GRANT INSERT ON journey.touchpoints_local TO journey_sink;
GRANT INSERT ON journey.parts_local TO journey_sink;
GRANT INSERT ON journey.health_local TO journey_sink;
GRANT INSERT ON journey.outreach_local TO journey_sink;
GRANT SYSTEM RELOAD DICTIONARY ON *.* TO journey_sink;

-- Console, `journey receive` and the verbs that only ask.
CREATE ROLE IF NOT EXISTS journey_reader;
GRANT SELECT ON journey.* TO journey_reader;
GRANT dictGet ON journey.customer_of TO journey_reader;

-- Grafana: what its dashboards show, and what people wrote or were written in none of it. Whoever may
-- edit a dashboard may ask ClickHouse anything that this role may.
CREATE ROLE IF NOT EXISTS journey_grafana;
GRANT SELECT(anchor, occurred_at, event_id, channel, type, stage, account, language, sentiment,
    distress, scorer, fields, amount_minor, currency, received_at, rescored_at)
    ON journey.touchpoints TO journey_grafana;
GRANT SELECT(customer, day, evaluated_at, identifiers, touchpoints, health, sentiment, distress,
    segment, account, role, components, causes, reasons, reasons_fa, purchases, tenure, alive,
    currency, clv_minor, gets, gives) ON journey.health TO journey_grafana;
GRANT SELECT(customer, decision_id, rule, channel, decided_at, taken, suppressed_by, detail, why,
    health, distress, account, language, ways_out, holdout, due_at, expires_at, requested_at)
    ON journey.outreach TO journey_grafana;
GRANT SELECT(account, evaluated_at, health, band, contacts, bands, weakest, reasons, reasons_fa)
    ON journey.accounts TO journey_grafana;
GRANT SELECT(customer, decision_id, rule, channel, status, at, attempts, version)
    ON journey.outreach_outcomes TO journey_grafana;
GRANT dictGet ON journey.customer_of TO journey_grafana;

-- `journey setup` and the verbs that change what is stored.
CREATE ROLE IF NOT EXISTS journey_admin;
GRANT SELECT, INSERT, ALTER, TRUNCATE, OPTIMIZE, CREATE DATABASE, CREATE TABLE, CREATE VIEW,
    CREATE DICTIONARY, DROP TABLE, DROP VIEW, DROP DICTIONARY, SHOW, dictGet ON journey.*
    TO journey_admin;
GRANT SYSTEM RELOAD DICTIONARY ON *.* TO journey_admin;
GRANT SYSTEM SYNC REPLICA ON journey.* TO journey_admin;
GRANT CLUSTER, REMOTE ON *.* TO journey_admin;
GRANT SELECT ON system.merge_tree_settings TO journey_admin;

CREATE USER IF NOT EXISTS journey_sink HOST NONE DEFAULT ROLE journey_sink;
CREATE USER IF NOT EXISTS journey_reader HOST NONE DEFAULT ROLE journey_reader
    SETTINGS PROFILE 'journey_reading';
CREATE USER IF NOT EXISTS journey_grafana HOST NONE DEFAULT ROLE journey_grafana
    SETTINGS PROFILE 'journey_reading';
CREATE USER IF NOT EXISTS journey_admin HOST NONE DEFAULT ROLE journey_admin;
GRANT journey_sink TO journey_sink;
GRANT journey_reader TO journey_reader;
GRANT journey_grafana TO journey_grafana;
GRANT journey_admin TO journey_admin;
ALTER QUOTA journey_reading TO journey_reader, journey_grafana;
