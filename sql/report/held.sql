-- Usage that cannot be charged yet, with the reason.
SELECT
    attribution AS reason,
    coalesce(customer_id, key_ref) AS customer_or_key,
    meter,
    sum(quantity) AS quantity,
    sum(events) AS events,
    min(day) AS day_min,
    max(day) AS day_max
FROM usage_daily
WHERE attribution IN ($held)
GROUP BY attribution, coalesce(customer_id, key_ref), meter
ORDER BY reason, events DESC, customer_or_key, meter
LIMIT 50
