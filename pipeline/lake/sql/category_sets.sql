SELECT
    category_set,
    day,
    direction,
    unnest(categories) AS category,
    CAST(unnest(range(1, len(categories) + 1)) AS BIGINT) AS position
FROM (
    SELECT category_set, day, 'incoming' AS direction, incoming AS categories FROM main.category_days
    UNION ALL
    SELECT category_set, day, 'outgoing', outgoing FROM main.category_days
)
