-- Every outgoing row is counted once, whatever its state, so that the totals are those of the bank's files.
WITH spend AS (
    SELECT
        currency,
        CASE
            WHEN state IN ('waiting', 'in_flight', 'held') THEN 'pending'
            WHEN state <> 'enriched' THEN 'not enriched'
            ELSE coalesce(category, 'no category')
        END AS category,
        count(*) AS transactions,
        CAST(sum(amount) AS DECIMAL(38, 4)) AS total
    FROM main.transactions
    WHERE entry_type = 'outgoing'
    GROUP BY 1, 2
)
SELECT
    currency,
    category,
    transactions,
    total,
    CAST(total AS DOUBLE) / nullif(CAST(sum(total) OVER (PARTITION BY currency) AS DOUBLE), 0) AS share
FROM spend
ORDER BY currency, total DESC, category
