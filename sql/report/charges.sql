-- Charges per billing month, customer and price.
SELECT
    substr(CAST(day AS VARCHAR), 1, 7) AS billing_month,
    customer_id,
    plan,
    price_id,
    meter,
    sum(quantity) AS quantity,
    sum(amount) AS amount,
    currency
FROM charges_daily
GROUP BY substr(CAST(day AS VARCHAR), 1, 7), customer_id, plan, price_id, meter, currency
ORDER BY billing_month, customer_id, plan, price_id, meter
