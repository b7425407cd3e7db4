-- Reasons, codes and places only: never a description or the text of a record.
WITH trouble AS (
    SELECT
        'rejected row' AS kind, reason AS why, count(*) AS rows,
        arg_min(source_file || ' record ' || record_number, source_file || lpad(CAST(record_number AS VARCHAR), 19, '0'))
            AS example
    FROM (SELECT unnest(reasons) AS reason, source_file, record_number FROM main.rejected_rows)
    GROUP BY reason
    UNION ALL
    SELECT
        'item error', coalesce(error_code, 'no code'), count(*),
        min(source_file || ' record ' || record_number || ', batch ' || batch_key)
    FROM main.transactions
    WHERE state = 'item_error'
    GROUP BY error_code
    UNION ALL
    SELECT
        state || ' batch', coalesce(reason, 'no reason recorded'), CAST(sum(rows) AS BIGINT),
        'batch ' || min(batch_key)
    FROM main.batches
    WHERE state IN ('held', 'quarantined')
    GROUP BY state, reason
    UNION ALL
    SELECT
        'batch in error', 'the API ended it in error; sent again, credits charged again', CAST(sum(credits) AS BIGINT),
        'batch ' || min(batch_key)
    FROM main.batch_attempts
    WHERE state = 'errored'
    HAVING count(*) > 0
)
SELECT kind, why, rows, example
FROM trouble
ORDER BY kind, rows DESC, why
