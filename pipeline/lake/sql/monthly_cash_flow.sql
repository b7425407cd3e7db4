-- Every row counts, whatever its state: amount, direction and currency are the bank's, and need no enrichment.
WITH flow AS (
    SELECT
        account_holder_id,
        CAST(date_trunc('month', date) AS DATE) AS month,
        currency,
        CASE WHEN entry_type = 'incoming' THEN amount ELSE 0 END AS incoming,
        CASE WHEN entry_type = 'outgoing' THEN amount ELSE 0 END AS outgoing,
        state IN ('waiting', 'in_flight', 'held') AS pending,
        state IN ('item_error', 'quarantined') AS not_enriched
    FROM main.transactions
)
SELECT
    account_holder_id,
    month,
    currency,
    CAST(sum(incoming) AS DECIMAL(38, 4)) AS incoming,
    CAST(sum(outgoing) AS DECIMAL(38, 4)) AS outgoing,
    CAST(sum(incoming) - sum(outgoing) AS DECIMAL(38, 4)) AS net,
    count(*) AS transactions,
    count(*) FILTER (WHERE pending) AS pending,
    count(*) FILTER (WHERE not_enriched) AS not_enriched
FROM flow
GROUP BY account_holder_id, month, currency
ORDER BY account_holder_id NULLS LAST, month, currency
