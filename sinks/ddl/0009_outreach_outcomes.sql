-- What became of every decision that was taken, or how far it is: of its records the one with the
-- highest version, which does not depend on their order.
CREATE TABLE IF NOT EXISTS outreach_outcomes
(
    customer    String CODEC(ZSTD(1)),
    decision_id String CODEC(ZSTD(1)),
    rule        LowCardinality(String),
    channel     LowCardinality(String),
    status      LowCardinality(String),
    at          DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    attempts    UInt32 CODEC(ZSTD(1)),
    detail      String CODEC(ZSTD(1)),
    version     UInt32 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (customer, decision_id);
