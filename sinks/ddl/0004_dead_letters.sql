-- Rejected records with their original bytes, kept as long as Kafka keeps them: the bytes were
-- never normalised and may hold personal data. The time received is part of the key because a
-- topic created anew counts its offsets from zero.
CREATE TABLE IF NOT EXISTS dead_letters
(
    topic       LowCardinality(String),
    partition   Int32,
    offset      Int64 CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    reason      LowCardinality(String),
    field       String CODEC(ZSTD(1)),
    message     String CODEC(ZSTD(1)),
    raw         String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (topic, partition, offset, received_at)
TTL toDateTime(received_at) + INTERVAL 30 DAY;
