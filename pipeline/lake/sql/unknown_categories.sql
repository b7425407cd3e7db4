-- A set may change: an older row's category need only be in the list of some day. Three values belong to every set
-- without being listed (docs.ntropy.com/enrichment/categories). A set that was never fetched cannot be judged by.
WITH given AS (
    SELECT
        coalesce(h.category_set, t.account_holder_type) AS category_set,
        t.entry_type AS direction,
        t.category,
        count(*) AS transactions,
        min(t.date) AS first_date,
        max(t.date) AS last_date
    FROM main.transactions AS t
    LEFT JOIN main.account_holders AS h ON h.account_holder_id = t.account_holder_id
    WHERE t.state = 'enriched' AND t.category IS NOT NULL
    GROUP BY 1, 2, 3
)
SELECT g.category_set, g.direction, g.category, g.transactions, g.first_date, g.last_date
FROM given AS g
WHERE
    lower(g.category) NOT IN ('not enough information', 'other', 'missing account holder information')
    AND g.category_set IN (SELECT category_set FROM main.category_days)
    AND NOT EXISTS (
        SELECT 1
        FROM main.category_sets AS c
        WHERE
            c.category_set = g.category_set
            AND c.direction = g.direction
            AND lower(c.category) = lower(g.category)
    )
ORDER BY g.transactions DESC, g.category_set, g.direction, g.category
