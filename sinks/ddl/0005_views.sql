-- For people: every touchpoint once, with the customer it belongs to now.
CREATE VIEW IF NOT EXISTS ledger AS
SELECT
    dictGetOrDefault('$database.customer_of', 'customer', anchor, anchor) AS customer,
    *
FROM touchpoints FINAL;

-- For people: the newest health of every customer that still stands.
CREATE VIEW IF NOT EXISTS customers AS
SELECT *
FROM health FINAL
WHERE dictGetOrDefault('$database.customer_of', 'customer', customer, customer) = customer
ORDER BY evaluated_at DESC
LIMIT 1 BY customer;
