-- The API's groups have no currency and no last amount; their transactions have. Lengths of periods are those that the
-- words mean; for `other`, and for a word that is new, the median gap is taken.
WITH groups AS (
    SELECT account_holder_id, position, unnest(transaction_ids) AS transaction_id
    FROM main.recurrence_groups
),
money AS (
    SELECT
        g.account_holder_id,
        g.position,
        any_value(t.entry_type) AS entry_type,
        CASE WHEN count(DISTINCT t.currency) = 1 THEN any_value(t.currency) END AS currency,
        arg_max(t.amount, (t.date, t.transaction_id)) AS last_amount,
        list(t.amount ORDER BY t.date DESC, t.transaction_id DESC)[:2] AS last_two
    FROM groups AS g
    JOIN main.transactions AS t ON t.transaction_id = g.transaction_id
    GROUP BY g.account_holder_id, g.position
),
seen AS (
    SELECT account_holder_id, max(date) AS as_of
    FROM main.transactions
    GROUP BY account_holder_id
),
going AS (
    SELECT
        g.*,
        m.currency,
        m.last_amount,
        -- Twice the same is a price, whatever it was before; what varies, as for electricity, is worth its mean.
        CASE WHEN m.last_two[1] = m.last_two[2] THEN m.last_amount ELSE g.average_amount END AS amount_now,
        s.as_of,
        CASE replace(g.periodicity, '_', '-')
            WHEN 'daily' THEN 365.25 / 12
            WHEN 'weekly' THEN 365.25 / 12 / 7
            WHEN 'bi-weekly' THEN 365.25 / 12 / 14
            WHEN 'semi-monthly' THEN 2
            WHEN 'monthly' THEN 1
            WHEN 'bi-monthly' THEN 1.0 / 2
            WHEN 'quarterly' THEN 1.0 / 3
            WHEN 'semi-yearly' THEN 1.0 / 6
            WHEN 'yearly' THEN 1.0 / 12
            ELSE 365.25 / 12 / nullif(g.periodicity_in_days, 0)
        END AS per_month,
        CAST(
            CASE replace(g.periodicity, '_', '-')
                WHEN 'monthly' THEN g.end_date + INTERVAL 1 MONTH
                WHEN 'bi-monthly' THEN g.end_date + INTERVAL 2 MONTH
                WHEN 'quarterly' THEN g.end_date + INTERVAL 3 MONTH
                WHEN 'semi-yearly' THEN g.end_date + INTERVAL 6 MONTH
                WHEN 'yearly' THEN g.end_date + INTERVAL 12 MONTH
                ELSE g.end_date + to_days(CAST(round(g.periodicity_in_days) AS INTEGER))
            END AS DATE
        ) AS expected
    FROM main.recurrence_groups AS g
    LEFT JOIN money AS m ON m.account_holder_id = g.account_holder_id AND m.position = g.position
    LEFT JOIN seen AS s ON s.account_holder_id = g.account_holder_id
    WHERE coalesce(g.entry_type, m.entry_type) = 'outgoing'
),
judged AS (
    SELECT
        *,
        as_of > expected + to_days(CAST(greatest(3, ceil(periodicity_in_days / 2)) AS INTEGER)) AS lapsed
    FROM going
)
SELECT
    account_holder_id,
    group_id,
    counterparty_name,
    counterparty_website,
    category,
    currency,
    periodicity,
    transactions AS payments,
    average_amount,
    last_amount,
    TRY_CAST(CAST(amount_now AS DOUBLE) * per_month AS DECIMAL(18, 2)) AS monthly_cost,
    start_date AS first_date,
    end_date AS last_date,
    CASE WHEN NOT lapsed THEN expected END AS next_expected,
    CASE WHEN lapsed THEN 'lapsed' ELSE 'active' END AS status,
    as_of
FROM judged
ORDER BY account_holder_id, status, monthly_cost DESC, counterparty_name, group_id
