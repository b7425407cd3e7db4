-- Entities keep their id from one answer to the next, so attributes are grouped by it; where the API gave none, by name.
-- arg_max skips NULL: a field that a later answer leaves out keeps the value that was known.
WITH seen AS (
    SELECT
        counterparty_id AS entity_id, counterparty_name AS name, counterparty_website AS website,
        counterparty_logo AS logo, counterparty_type AS type, counterparty_mccs AS mccs,
        counterparty_parent_id AS parent_id, counterparty_parent_name AS parent_name,
        counterparty_parent_website AS parent_website,
        'counterparty' AS role, transaction_id, date, enriched_at
    FROM main.transactions
    WHERE counterparty_id IS NOT NULL OR counterparty_name IS NOT NULL
    UNION ALL
    SELECT
        i.intermediary_id, i.name, i.website, i.logo, NULL, i.mccs,
        i.parent_id, i.parent_name, i.parent_website,
        'intermediary', i.transaction_id, t.date, t.enriched_at
    FROM main.intermediaries AS i
    JOIN main.transactions AS t ON t.transaction_id = i.transaction_id
    WHERE i.intermediary_id IS NOT NULL OR i.name IS NOT NULL
)
SELECT
    any_value(entity_id) AS entity_id,
    arg_max(name, enriched_at) AS name,
    arg_max(website, enriched_at) AS website,
    arg_max(logo, enriched_at) AS logo,
    arg_max(type, enriched_at) AS type,
    arg_max(mccs, enriched_at) AS mccs,
    arg_max(parent_id, enriched_at) AS parent_id,
    arg_max(parent_name, enriched_at) AS parent_name,
    arg_max(parent_website, enriched_at) AS parent_website,
    list_sort(list(DISTINCT role)) AS roles,
    count(DISTINCT transaction_id) AS transactions,
    min(date) AS first_date,
    max(date) AS last_date
FROM seen
GROUP BY coalesce(entity_id, name)
