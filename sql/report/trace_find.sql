-- Events of one table that carry a request id in one of its columns.
SELECT source, day, event_time, request_id, fingerprint
FROM $events
WHERE ($carries)$on_day
ORDER BY event_time, source, request_id, fingerprint
LIMIT $limit
