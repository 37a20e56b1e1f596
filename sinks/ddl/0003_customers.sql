-- What one anchor has told, as JSON: the newest part, by the epoch of its customer and then by
-- the touchpoints counted.
CREATE TABLE IF NOT EXISTS parts
(
    anchor   String CODEC(ZSTD(1)),
    customer String CODEC(ZSTD(1)),
    epoch    UInt64 CODEC(ZSTD(1)),
    n        UInt64 CODEC(ZSTD(1)),
    part     String CODEC(ZSTD(1)),
    version  UInt128 MATERIALIZED bitShiftLeft(toUInt128(epoch), 64) + n CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY anchor;

-- The last health of each customer and day. Sentiment and distress are milli-units, components
-- milli-points, causes and alive milli-probabilities, expected milli-purchases, spend and clv minor
-- units of currency.
CREATE TABLE IF NOT EXISTS health
(
    customer     String CODEC(ZSTD(1)),
    evaluated_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    identifiers  UInt32 CODEC(ZSTD(1)),
    touchpoints  UInt64 CODEC(ZSTD(1)),
    health       Int16 CODEC(ZSTD(1)),
    sentiment    Int32 CODEC(ZSTD(1)),
    distress     Int32 CODEC(ZSTD(1)),
    segment      LowCardinality(String),
    account      String CODEC(ZSTD(1)),
    components   Map(LowCardinality(String), Int64) CODEC(ZSTD(1)),
    reasons      Array(String) CODEC(ZSTD(1)),
    reached      Map(LowCardinality(String), DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    causes       Map(LowCardinality(String), Int64) CODEC(ZSTD(1)),
    reasons_fa   Array(String) CODEC(ZSTD(1)),
    role         LowCardinality(String),
    review       String CODEC(ZSTD(1)),
    reviewed_at  DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    purchases    UInt32 CODEC(ZSTD(1)),
    spend        Map(LowCardinality(String), Int64) CODEC(ZSTD(1)),
    tenure       UInt32 CODEC(ZSTD(1)),
    alive        Int32 CODEC(ZSTD(1)),
    expected     Int64 CODEC(ZSTD(1)),
    currency     LowCardinality(String),
    clv_minor    Int64 CODEC(ZSTD(1)),
    gets         Int16 CODEC(ZSTD(1)),
    gives        Int16 CODEC(ZSTD(1)),
    day          Date MATERIALIZED toDate(evaluated_at, 'UTC')
)
ENGINE = ReplacingMergeTree(evaluated_at)
ORDER BY (customer, day);

-- Every outreach decision, taken or not, under its deterministic id.
CREATE TABLE IF NOT EXISTS outreach
(
    customer    String CODEC(ZSTD(1)),
    decision_id String CODEC(ZSTD(1)),
    rule        LowCardinality(String),
    action      LowCardinality(String),
    decided_at  DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    taken       Bool,
    why         String CODEC(ZSTD(1)),
    health      Int16 CODEC(ZSTD(1)),
    distress    Int32 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (customer, decision_id);
