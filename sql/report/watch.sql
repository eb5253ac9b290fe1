-- What an alarm looks at after a build: events of the last whole billing day, of the seven days before it and on how many of them
-- there were any, and keys of nobody that were not seen in the thirty days before.
SELECT
    CAST(coalesce(sum(CASE WHEN day = $yesterday THEN events ELSE 0 END), 0) AS BIGINT) AS events_yesterday,
    CAST(coalesce(sum(CASE WHEN day >= $week_before AND day < $yesterday THEN events ELSE 0 END), 0) AS BIGINT) AS events_before,
    count(DISTINCT CASE WHEN day >= $week_before AND day < $yesterday AND events > 0 THEN day END) AS days_before,
    (
        SELECT count(*)
        FROM (
            SELECT source, key_ref
            FROM usage_daily
            WHERE attribution = 'unmapped' AND key_ref IS NOT NULL AND day >= $month_before
            GROUP BY source, key_ref
            HAVING min(day) >= $yesterday
        ) AS seen
    ) AS new_unmapped_keys
FROM usage_daily
WHERE day >= $week_before
