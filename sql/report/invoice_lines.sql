-- The charges of a month added up to what is printed: one row per customer, currency and line. A volume price is one line, as the
-- whole month has one price; a graduated one has a line per tier. A unit price is given where all of the sum has the same.
SELECT
    customer_id,
    currency,
    kind,
    plan,
    price_id,
    price_from,
    model,
    meter,
    CASE WHEN model = 'volume' THEN NULL ELSE tier END AS tier,$day
    sum(CAST(quantity AS DECIMAL(38, 0))) AS quantity,
    sum(CAST(billed AS DECIMAL(38, 0))) AS billed,
    min(unit_price) AS unit_price_min,
    max(unit_price) AS unit_price_max,
    sum(amount) AS exact
FROM $charges
WHERE day >= $day_from AND day <= $day_last$only
GROUP BY
    customer_id, currency, kind, plan, price_id, price_from, model, meter,
    CASE WHEN model = 'volume' THEN NULL ELSE tier END$day_group
