-- What all usage of a billing day with the same customer, meter and dimensions costs together.
SELECT day, customer_id, plan, price_id, model, tier, quantity, billed, unit_price, amount, currency
FROM charges_daily
WHERE day = $day AND customer_id = $customer AND meter = $meter AND dimensions = $dimensions
ORDER BY plan, price_id, price_from, month_to_date_before, tier
