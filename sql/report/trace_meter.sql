-- What a meter's rule, value and dimensions are for one event, read as sql/usage_slots.sql reads them.
SELECT
    ($where) AS rule,
    CAST(($value) AS VARCHAR) AS value,
    $dimensions AS dimensions
FROM (
    SELECT
        key_ref,
        key_state$columns
    FROM $events
    WHERE $is_event
) AS event
