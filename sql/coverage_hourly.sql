-- table: coverage_hourly
-- grain: one row per UTC hour and source, from the first to the last hour of the day of which anything is known
-- key: hour_start, source
-- reads: object_hours, origin_requests, edge_requests, request_counts
-- partition: day
--
-- What arrived for each hour of one UTC day, so that a hole in the delivery is seen before a bill is sent. An empty
-- hour between two known ones is `quiet`, or a `gap` where the source says that something always comes. An hour is also
-- a `gap` where it has fewer requests than somebody else counted, by more than the tolerated share of them, rounded up to
-- a whole request. A request is an event that has its id to itself or is the first of those that share it. Records less
-- events are the duplicates. Unreadable records have no event time: they count in the hour their object arrived, so they
-- are no requests here.
WITH given AS (
    SELECT source, hour_start, object_id, records, rejects, arrived_at
    FROM object_hours
    WHERE day = $day
),
arrivals AS (
    SELECT
        source,
        hour_start,
        count(DISTINCT CASE WHEN records > 0 THEN object_id END) AS objects,
        sum(records) AS records,
        sum(rejects) AS rejects,
        min(CASE WHEN records > 0 THEN arrived_at END) AS arrived_min,
        max(CASE WHEN records > 0 THEN arrived_at END) AS arrived_max
    FROM given
    GROUP BY source, hour_start
),
seen AS (
    SELECT source, date_trunc('hour', event_time) AS hour_start, conflict
    FROM origin_requests
    WHERE day = $day
    UNION ALL
    SELECT source, date_trunc('hour', event_time) AS hour_start, conflict
    FROM edge_requests
    WHERE day = $day
),
counted AS (
    SELECT source, hour_start, count(*) AS events, sum(CASE WHEN conflict THEN 1 ELSE 0 END) AS conflicts
    FROM seen
    GROUP BY source, hour_start
),
elsewhere AS (
    SELECT source, hour_start, requests
    FROM request_counts
    WHERE day = $day
),
known AS (
    SELECT source, hour_start FROM arrivals
    UNION
    SELECT source, hour_start FROM counted
    UNION
    SELECT source, hour_start FROM elsewhere WHERE requests > 0
),
spans AS (
    SELECT source, min(hour_start) AS first_hour, max(hour_start) AS last_hour
    FROM known
    GROUP BY source
),
hours AS (
    SELECT hour_start, hour_end
    FROM (VALUES $hours) AS clock (hour_start, hour_end)
),
grid AS (
    SELECT spans.source, hours.hour_start, hours.hour_end
    FROM spans
    INNER JOIN hours ON hours.hour_start >= spans.first_hour AND hours.hour_start <= spans.last_hour
),
joined AS (
    SELECT
        grid.source,
        grid.hour_start,
        grid.hour_end,
        coalesce(arrivals.objects, 0) AS objects,
        coalesce(arrivals.records, 0) AS records,
        coalesce(arrivals.rejects, 0) AS rejects,
        coalesce(counted.events, 0) AS events,
        coalesce(counted.conflicts, 0) AS conflicts,
        arrivals.arrived_min,
        arrivals.arrived_max,
        elsewhere.requests AS expected
    FROM grid
    LEFT JOIN arrivals ON arrivals.source = grid.source AND arrivals.hour_start = grid.hour_start
    LEFT JOIN counted ON counted.source = grid.source AND counted.hour_start = grid.hour_start
    LEFT JOIN elsewhere ON elsewhere.source = grid.source AND elsewhere.hour_start = grid.hour_start
)
SELECT
    $day AS day,
    hour_start,
    source,
    objects,
    records,
    events,
    records - events AS duplicates,
    conflicts,
    rejects,
    arrived_min,
    arrived_max,
    CASE
        WHEN arrived_max IS NULL THEN NULL
        WHEN arrived_max <= hour_end THEN CAST(0 AS BIGINT)
        ELSE CAST(floor(to_unixtime(arrived_max)) AS BIGINT) - CAST(floor(to_unixtime(hour_end)) AS BIGINT)
    END AS lateness_max_s,
    CASE
        WHEN (expected - (events - conflicts) - 1) * 1000 >= expected * $shortfall_max THEN 'gap'
        WHEN records > 0 OR events > 0 THEN 'ok'
        WHEN $is_heartbeat AND coalesce(expected, 1) > 0 THEN 'gap'
        ELSE 'quiet'
    END AS state,
    expected
FROM joined
ORDER BY source, hour_start
