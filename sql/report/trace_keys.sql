-- Whose a key is and when, whether that holds at the time of an event, and the owner's plan on its billing day.
SELECT
    api_keys.customer_id,
    api_keys.label,
    api_keys.valid_from,
    api_keys.valid_to,
    api_keys.valid_from <= $at AND (api_keys.valid_to IS NULL OR api_keys.valid_to > $at) AS at_event,
    customers.plan
FROM api_keys
LEFT JOIN customers
    ON customers.customer_id = api_keys.customer_id
    AND customers.valid_from <= $day_start AND (customers.valid_to IS NULL OR customers.valid_to > $day_start)
WHERE api_keys.source = $source AND api_keys.key_ref = $key
ORDER BY api_keys.valid_from
