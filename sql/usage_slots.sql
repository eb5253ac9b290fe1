-- table: usage_slots
-- grain: one row per UTC quarter hour, source, key, meter, outcome and dimensions
-- key: slot_start, source, key_ref, key_state, refused, conflict, meter, outcome, dimensions
-- reads: $events
-- partition: day
--
-- One meter over some hours of one source. Keys, days and prices are applied to these rows later, so none of them
-- ever makes us read the events again. The rule decides the outcome: true counts, false is not billable, NULL is
-- undecided and held; so is a value that is NULL or negative. A meter of distinct values counts them later, from the
-- events: here its quantity is 0. That of a maximum is the largest value of the slot. Bounds: a value is below 2^63 by
-- its checked rule and a source has fewer than 10^12 events an hour, so a sum in DECIMAL(38,0) cannot overflow; it is
-- checked to fit a BIGINT before it is stored.
WITH events AS (
    SELECT
        event_time,
        key_ref,
        key_state,
        coalesce(status IN (401, 403), FALSE) AS is_refused,
        coalesce(conflict, FALSE) AS is_conflict$columns
    FROM $events
    WHERE source = $source
        AND day >= $day_from AND day <= $day_last
        AND event_time >= $from AND event_time < $to$only
),
judged AS (
    SELECT
        $slot_start AS slot_start,
        key_ref,
        key_state,
        is_refused,
        is_conflict,
        ($where) AS rule,
        CAST(($value) AS DECIMAL(38, 0)) AS amount,
        $dimensions AS dimensions$item
    FROM events
),
decided AS (
    SELECT
        slot_start,
        key_ref,
        key_state,
        is_refused,
        is_conflict,
        CASE
            WHEN NOT rule THEN 'not_billable'
            WHEN rule IS NULL OR amount IS NULL OR amount < 0 THEN 'undecided'
            ELSE 'counted'
        END AS outcome,
        amount,
        dimensions$kept_item
    FROM judged
),
shaped AS (
    SELECT
        slot_start,
        key_ref,
        key_state,
        is_refused,
        is_conflict,
        outcome,
        CASE WHEN outcome = 'not_billable' THEN '{}' ELSE dimensions END AS dimensions,
        CASE WHEN outcome = 'counted' THEN amount ELSE CAST(0 AS DECIMAL(38, 0)) END AS amount
    FROM decided
)
SELECT
    CAST(slot_start AS DATE) AS day,
    slot_start,
    $source AS source,
    key_ref,
    key_state,
    is_refused AS refused,
    is_conflict AS conflict,
    $meter AS meter,
    outcome,
    dimensions,
    CAST($total(amount) AS DECIMAL(38, 0)) AS quantity,
    CAST(count(*) AS BIGINT) AS events
FROM shaped
GROUP BY slot_start, key_ref, key_state, is_refused, is_conflict, outcome, dimensions
