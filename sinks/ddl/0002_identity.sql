-- Two identifiers seen on one touchpoint, with the earliest evidence; or an operator's entry on
-- them, the latest one. Ties of a millisecond go by the event id, as in `streams.core.links`.
CREATE TABLE IF NOT EXISTS identity_links
(
    a           String CODEC(ZSTD(1)),
    b           String CODEC(ZSTD(1)),
    action      LowCardinality(String),
    event_id    UUID CODEC(NONE),
    occurred_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    source      String CODEC(ZSTD(1)),
    reason      String CODEC(ZSTD(1)),
    operator    Bool MATERIALIZED action != 'seen',
    rank        UInt256 MATERIALIZED bitShiftLeft(
                    toUInt256(toUnixTimestamp64Milli(occurred_at)), 128) + toUInt128(event_id),
    version     UInt256 MATERIALIZED operator ? rank : bitNot(rank)
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (a, b, operator);

-- Which customer an identifier belongs to, where that is not the identifier itself; a row whose
-- customer is its identifier says that it went back to itself.
CREATE TABLE IF NOT EXISTS identity_members
(
    identifier String CODEC(ZSTD(1)),
    customer   String CODEC(ZSTD(1)),
    epoch      UInt64 CODEC(Delta, ZSTD(1)),
    INDEX by_customer customer TYPE bloom_filter GRANULARITY 1
)
ENGINE = ReplacingMergeTree(epoch)
ORDER BY identifier;

-- The newest row of each identifier: what the dictionary loads.
CREATE VIEW IF NOT EXISTS identity AS
SELECT identifier, customer, epoch
FROM identity_members FINAL;

-- identifier -> customer. Identifiers that are their own customer are left out, so ask with a
-- default: dictGetOrDefault('customer_of', 'customer', anchor, anchor).
CREATE OR REPLACE DICTIONARY customer_of
(
    identifier String,
    customer   String
)
PRIMARY KEY identifier
SOURCE(CLICKHOUSE(
    USER '$user' PASSWORD '$password' DB '$database' TABLE 'identity'
    WHERE 'customer != identifier'
    INVALIDATE_QUERY 'SELECT max(epoch), count() FROM $database.identity_members'
))
LAYOUT(COMPLEX_KEY_HASHED(SHARDS 2))
LIFETIME(MIN 1 MAX 3);
