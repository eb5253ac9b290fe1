-- Records that could not be read, by the day on which their object arrived.
SELECT day, source, count(*) AS rejects, count(DISTINCT object_id) AS objects
FROM rejects
WHERE $where
GROUP BY day, source
ORDER BY day DESC, source
