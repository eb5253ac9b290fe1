-- Per source and meter: how many events there are, how many carry a key, and how many the meter's rule counted.
SELECT
    source,
    meter,
    sum(events) AS events,
    sum(CASE WHEN key_state <> 'absent' THEN events ELSE 0 END) AS events_with_key,
    sum(CASE WHEN outcome = 'counted' THEN events ELSE 0 END) AS events_counted
FROM usage_slots
GROUP BY source, meter
ORDER BY source, meter
