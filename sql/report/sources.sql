-- What came in per source, over the whole lake. Records = events + duplicates + rejects + control.
WITH ledger AS (
    SELECT source, count(*) AS objects, sum(records) AS records, sum(rejects) AS rejects, sum(control) AS control
    FROM objects
    WHERE state = 'applied'
    GROUP BY source
),
hours AS (
    SELECT source, sum(events) AS events, sum(duplicates) AS duplicates, sum(conflicts) AS conflicts
    FROM coverage_hourly
    GROUP BY source
)
SELECT
    ledger.source,
    ledger.objects,
    ledger.records,
    coalesce(hours.events, 0) AS events,
    coalesce(hours.duplicates, 0) AS duplicates,
    coalesce(hours.conflicts, 0) AS conflicts,
    ledger.rejects,
    ledger.control
FROM ledger
LEFT JOIN hours ON hours.source = ledger.source
ORDER BY ledger.source
