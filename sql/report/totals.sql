-- What each customer is charged per billing month, exact and not yet rounded.
SELECT
    substr(CAST(day AS VARCHAR), 1, 7) AS billing_month,
    customer_id,
    sum(amount) AS amount,
    currency
FROM charges_daily
GROUP BY substr(CAST(day AS VARCHAR), 1, 7), customer_id, currency
ORDER BY billing_month, customer_id, currency
