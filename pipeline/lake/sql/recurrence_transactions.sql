SELECT
    account_holder_id,
    group_id,
    unnest(transaction_ids) AS transaction_id,
    CAST(unnest(range(1, len(transaction_ids) + 1)) AS BIGINT) AS nth
FROM main.recurrence_groups
