-- $revision and $published_at are filled in at publishing. The counts are taken when asked for: counting 5,000 files
-- at each publishing would take longer than all the rest of it.
SELECT
    CAST($revision AS BIGINT) AS revision,
    TIMESTAMP '$published_at' AS published_at,
    t.*,
    (SELECT count(*) FROM main.raw_transactions) AS raw_transactions,
    (SELECT count(*) FROM main.rejected_rows) AS rejected_rows
FROM (
    SELECT
        count(*) AS transactions,
        count(*) FILTER (WHERE state = 'waiting') AS waiting,
        count(*) FILTER (WHERE state = 'in_flight') AS in_flight,
        count(*) FILTER (WHERE state = 'enriched') AS enriched,
        count(*) FILTER (WHERE state = 'item_error') AS item_error,
        count(*) FILTER (WHERE state = 'held') AS held,
        count(*) FILTER (WHERE state = 'quarantined') AS quarantined
    FROM main.transactions
) AS t
