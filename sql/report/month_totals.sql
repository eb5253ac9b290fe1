-- Usage of some days by day, customer, key and meter: what totals of a month are made of. Usage that is held for a reason is told apart.
SELECT
    day,
    customer_id,
    key_ref,
    meter,
    attribution,
    CAST(sum(quantity) AS DECIMAL(38, 0)) AS quantity,
    CAST(sum(events) AS BIGINT) AS events
FROM usage_daily
WHERE day >= $first_day AND day <= $last_day
    AND attribution IN ('mapped', 'unmapped', 'truncated', 'conflict', 'undecided', 'unpriced')
GROUP BY day, customer_id, key_ref, meter, attribution
