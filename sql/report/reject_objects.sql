-- Records that could not be read, by object and reason, beside all records of the object; those with most come first.
SELECT found.source, found.source_object, found.reason, found.rejects, objects.records, found.day
FROM (
    SELECT day, source, source_object, object_id, reason, count(*) AS rejects
    FROM rejects
    WHERE $where
    GROUP BY day, source, source_object, object_id, reason
) AS found
LEFT JOIN objects ON objects.object_id = found.object_id AND objects.state = 'applied'
ORDER BY found.rejects DESC, found.source, found.source_object, found.reason
