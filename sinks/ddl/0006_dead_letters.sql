-- Dead letters under ids of their own. A record is one letter however often it is read: a file
-- imported again is the same letters again, received later. A digest of the bytes is in the id
-- because a topic created anew counts its offsets from zero.
CREATE TABLE IF NOT EXISTS dead_letters_by_id
(
    id          String CODEC(ZSTD(1)),
    topic       LowCardinality(String),
    partition   Int32,
    offset      Int64 CODEC(Delta, ZSTD(1)),
    received_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    reason      LowCardinality(String),
    field       String CODEC(ZSTD(1)),
    message     String CODEC(ZSTD(1)),
    raw         String CODEC(ZSTD(1)),
    cut         UInt64 CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(received_at)
ORDER BY (topic, partition, offset, id)
TTL toDateTime(received_at) + INTERVAL 30 DAY;

INSERT INTO dead_letters_by_id
SELECT
    concat(topic, ':', toString(partition), ':', toString(offset), ':',
           lower(hex(substring(SHA256(raw), 1, 4)))),
    topic, partition, offset, received_at, reason, field, message, raw, 0
FROM dead_letters;

-- What a migration broken off here left: it can be run again from the start.
DROP TABLE IF EXISTS dead_letters_by_offset;

RENAME TABLE dead_letters TO dead_letters_by_offset, dead_letters_by_id TO dead_letters;

DROP TABLE IF EXISTS dead_letters_by_offset;

-- What became of a letter that was replayed, under the id of the touchpoint sent. The row without
-- a time is written before it is sent: a replay broken off looks there for what may be under way.
CREATE TABLE IF NOT EXISTS dead_letter_replays
(
    id          String CODEC(ZSTD(1)),
    event_id    UUID CODEC(NONE),
    replayed_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    started_at  DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(replayed_at)
ORDER BY id
TTL toDateTime(started_at) + INTERVAL 60 DAY;
