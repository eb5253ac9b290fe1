-- Records that could not be read, one by one; every token that could be a key is hashed.
SELECT source, source_object, source_position, reason, detail, $excerpt
FROM rejects
ORDER BY source, source_object, source_position
LIMIT $limit
