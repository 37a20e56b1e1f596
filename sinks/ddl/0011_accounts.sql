-- How an account stood, a row for each change: of its health, or of what its rules remember. The
-- last of an account that nobody belongs to has no contacts. `past` is health by day since 1970.
CREATE TABLE IF NOT EXISTS accounts
(
    account      String CODEC(ZSTD(1)),
    evaluated_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    health       Int16 CODEC(ZSTD(1)),
    band         LowCardinality(String),
    contacts     UInt32 CODEC(ZSTD(1)),
    bands        Map(LowCardinality(String), UInt32) CODEC(ZSTD(1)),
    weakest      String CODEC(ZSTD(1)),
    reasons      Array(String) CODEC(ZSTD(1)),
    reasons_fa   Array(String) CODEC(ZSTD(1)),
    reached      Map(LowCardinality(String), DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    holding      Map(LowCardinality(String), DateTime64(3, 'UTC')) CODEC(ZSTD(1)),
    past         Map(UInt32, Int16) CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (account, evaluated_at);

-- Accounts that have a record of the customer, with its version.
ALTER TABLE health
    ADD COLUMN IF NOT EXISTS told Map(String, UInt64) CODEC(ZSTD(1));
