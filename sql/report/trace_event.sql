-- One event with all its columns.
SELECT *
FROM $events
WHERE $is_event
