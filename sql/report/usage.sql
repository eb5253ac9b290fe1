-- Usage that belongs to a customer, or to a key where no customers are configured, per billing month.
SELECT
    substr(CAST(day AS VARCHAR), 1, 7) AS billing_month,
    coalesce(customer_id, key_ref) AS customer_or_key,
    meter,
    sum(quantity) AS quantity,
    sum(events) AS events
FROM usage_daily
WHERE attribution IN ('mapped', $unmapped)
GROUP BY substr(CAST(day AS VARCHAR), 1, 7), coalesce(customer_id, key_ref), meter
ORDER BY billing_month DESC, quantity DESC, customer_or_key, meter
