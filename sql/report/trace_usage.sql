-- The usage of a billing day that an event is part of: its key's, and the customer's own where the figure is his alone.
SELECT day, customer_id, key_ref, meter, dimensions, attribution, quantity, events
FROM usage_daily
WHERE day = $day AND meter = $meter AND dimensions = $dimensions AND attribution = $attribution
    AND customer_id $is_customer AND ((source = $source AND key_ref $is_key) OR source IS NULL)
ORDER BY source NULLS LAST
