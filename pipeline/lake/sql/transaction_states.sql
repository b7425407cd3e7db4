-- A row enters a batch's state together with the batch; before that, when it was read; after that, when it was landed.
SELECT
    t.transaction_id,
    t.state,
    t.batch_key,
    coalesce(t.enriched_at, b.state_since, t.ingested_at) AS since
FROM main.transactions AS t
LEFT JOIN main.batches AS b ON b.batch_key = t.batch_key
