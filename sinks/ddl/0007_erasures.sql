-- Receipts: what an erasure removed from which store, and when the rest of its bytes are gone by
-- themselves. Nothing here tells who it was.
CREATE TABLE IF NOT EXISTS erasures
(
    id               UUID,
    requested_at     DateTime64(3, 'UTC'),
    erased_at        DateTime64(3, 'UTC'),
    identifiers      UInt32,
    rows             Map(LowCardinality(String), UInt64),
    database_clean_at DateTime64(3, 'UTC'),
    log_clean_at     DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(erased_at)
ORDER BY id;

-- What an erasure under way removes: rows are matched with this table, so that neither the log of
-- queries nor a stored mutation names anybody, and one that was killed is completed by the next.
CREATE TABLE IF NOT EXISTS erasing
(
    erasure      UUID,
    what         LowCardinality(String),
    value        String,
    requested_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (erasure, what, value);
