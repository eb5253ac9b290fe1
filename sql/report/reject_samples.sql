-- The first records of each source and reason that could not be read; every token that could be a key is hashed.
SELECT source, reason, source_object, source_position, detail, excerpt
FROM (
    SELECT
        source,
        reason,
        source_object,
        source_position,
        detail,
        excerpt,
        row_number() OVER (PARTITION BY source, reason ORDER BY source_object, source_position) AS place
    FROM rejects
    WHERE $where
) AS numbered
WHERE place <= $samples
ORDER BY source, reason, source_object, source_position
