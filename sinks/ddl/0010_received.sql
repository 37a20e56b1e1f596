-- Touchpoints of the last minutes, for `analytics.affected`. Rows are sorted by anchor, so without it
-- a year of times is read. Rows written before have no marks of it; they merge into parts that do, or
--   ALTER TABLE touchpoints MATERIALIZE INDEX by_received
-- makes them at once.
ALTER TABLE touchpoints
    ADD INDEX IF NOT EXISTS by_received received_at TYPE minmax GRANULARITY 1;
