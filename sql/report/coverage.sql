-- How complete the hours are: per source the hours seen, empty ones, gaps, requests that somebody else counted and that
-- are not there, and how late records came.
SELECT
    source,
    min(hour_start) AS hour_min,
    max(hour_start) AS hour_max,
    sum(CASE WHEN state = 'ok' THEN 1 ELSE 0 END) AS hours,
    sum(CASE WHEN state = 'quiet' THEN 1 ELSE 0 END) AS quiet,
    sum(CASE WHEN state = 'gap' THEN 1 ELSE 0 END) AS gaps,
    sum(CASE WHEN state = 'gap' THEN expected - (events - conflicts) END) AS missing,
    max(lateness_max_s) AS lateness_max_s
FROM coverage_hourly
GROUP BY source
ORDER BY source
