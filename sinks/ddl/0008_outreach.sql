-- What the guard decided in full. `channel` was called `action`, which rows written before have;
-- `why` is why the rule fired, `suppressed_by` and `detail` why nothing was sent.
ALTER TABLE outreach
    ADD COLUMN IF NOT EXISTS channel LowCardinality(String) DEFAULT action,
    ADD COLUMN IF NOT EXISTS suppressed_by LowCardinality(String),
    ADD COLUMN IF NOT EXISTS detail String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS holdout Bool,
    ADD COLUMN IF NOT EXISTS due_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS expires_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS requested_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS account String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS language LowCardinality(String),
    ADD COLUMN IF NOT EXISTS subject String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS body String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS ways_out Array(LowCardinality(String)) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS identifiers Array(String) CODEC(ZSTD(1));

-- Since when the conditions of rules hold that ask for a duration.
ALTER TABLE health
    ADD COLUMN IF NOT EXISTS holding Map(LowCardinality(String), DateTime64(3, 'UTC')) CODEC(ZSTD(1));
