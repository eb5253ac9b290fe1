-- How far the hours of each source are known: its last hour with records, and every hour in which something is missing.
SELECT source, hour_start, state
FROM coverage_hourly
WHERE state = 'gap'
UNION ALL
SELECT source, max(hour_start) AS hour_start, 'ok' AS state
FROM coverage_hourly
WHERE state = 'ok'
GROUP BY source
