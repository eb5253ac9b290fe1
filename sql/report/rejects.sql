-- Records that could not be read, by source and reason, with one object to look at.
SELECT source, reason, count(*) AS rejects, min(source_object) AS first_object, min(detail) AS first_detail
FROM rejects
GROUP BY source, reason
ORDER BY source, rejects DESC, reason
