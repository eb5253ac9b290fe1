-- Records that could not be read, by source and reason: in how many objects, and on which days these arrived.
SELECT
    source,
    reason,
    count(*) AS rejects,
    count(DISTINCT object_id) AS objects,
    min(day) AS first_day,
    max(day) AS last_day
FROM rejects
WHERE $where
GROUP BY source, reason
ORDER BY source, rejects DESC, reason
