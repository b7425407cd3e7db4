-- Persons and rows without a merchant are kept apart by `kind` instead of left out: the totals of all kinds are the
-- outgoing total of the currency.
WITH spend AS (
    SELECT
        currency,
        CASE
            WHEN state IN ('waiting', 'in_flight', 'held') THEN 'pending'
            WHEN state <> 'enriched' THEN 'not enriched'
            WHEN counterparty_id IS NULL AND counterparty_name IS NULL THEN 'not identified'
            WHEN counterparty_type = 'person' THEN 'person'
            ELSE 'merchant'
        END AS kind,
        CASE WHEN state = 'enriched' THEN coalesce(counterparty_id, counterparty_name) END AS entity,
        counterparty_name, counterparty_website, enriched_at, amount, date
    FROM main.transactions
    WHERE entry_type = 'outgoing'
),
totals AS (
    SELECT
        currency,
        kind,
        entity,
        CASE WHEN kind IN ('merchant', 'person') THEN arg_max(counterparty_name, enriched_at) END AS name,
        CASE WHEN kind IN ('merchant', 'person') THEN arg_max(counterparty_website, enriched_at) END AS website,
        count(*) AS transactions,
        CAST(sum(amount) AS DECIMAL(38, 4)) AS total,
        min(date) AS first_date,
        max(date) AS last_date
    FROM spend
    GROUP BY currency, kind, entity
)
SELECT
    currency,
    kind,
    CASE
        WHEN kind IN ('merchant', 'person')
            THEN row_number() OVER (PARTITION BY currency, kind ORDER BY total DESC, transactions DESC, entity)
    END AS rank,
    name,
    website,
    transactions,
    total,
    first_date,
    last_date
FROM totals
ORDER BY currency, kind, rank, total DESC
