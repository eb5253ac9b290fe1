-- table: usage_daily
-- grain: one row per billing day, customer, key, source, meter, attribution and dimensions
-- key: day, customer_id, key_ref, source, meter, dimensions, attribution
-- reads: usage_slots, api_keys, customers, prices, price_matches
-- partition: day
--
-- The slots of one billing day, each given to whoever owned its key at that time, or held with the first reason that
-- applies. A slot within which an owner's interval begins or ends is not read from usage_slots but counted again from
-- the events, in pieces cut at that instant: then the statement also reads their table. Every event of the day's
-- slots is in exactly one row, whatever its attribution. Keys nobody owns can be made up by callers: the 1 000 with
-- the most unmapped events stay apart, the rest is `other`. Bounds: sums of BIGINT quantities in DECIMAL(38,0), checked
-- to fit a BIGINT before they are stored. A row_number stands where a DISTINCT would do: DataFusion 55 believes that
-- a distinct row stays distinct through a join, and drops later groupings for it (apache/datafusion#23626).
--
-- Distinct values and maxima belong to a customer, not to a key: two keys that send the same user are one user. So the
-- rows of these meters carry events and quantity 0, and one more row per customer, meter and dimensions, without key and
-- source, carries the quantity and no events. A maximum is that of the mapped slots. Distinct values are counted from
-- the events of the day, each event under the owner its key has at its time: `seen` has the events that the slots count
-- and that are neither refused nor in conflict nor without a key. Those of them that are mapped are the slots' mapped
-- ones, because what is left to decide depends on customer, meter and dimensions only. Where there is no such meter, what
-- stands between `if` and `else` is left out: it could give no row, but all would be computed twice.
WITH slots AS (
    SELECT
        slot_start,
        source,
        key_ref,
        key_state,
        refused,
        conflict,
        meter,
        outcome,
        dimensions,
        CAST(quantity AS DECIMAL(38, 0)) AS quantity,
        events
    FROM usage_slots
    WHERE day >= $day_from AND day <= $day_last
        AND slot_start >= $day_start AND slot_start < $day_end$except_cut$cut_slots
),
-- if wholes
seen AS (
    $seen
),
-- end
owners AS (
    SELECT source, key_ref, customer_id, valid_from, valid_to
    FROM api_keys
    WHERE valid_from < $day_end AND (valid_to IS NULL OR valid_to > $day_start)
),
plans AS (
    SELECT customer_id, plan
    FROM customers
    WHERE valid_from <= $day_start AND (valid_to IS NULL OR valid_to > $day_start)
),
offers AS (
    SELECT plan, price_id, meter, match_columns, valid_from
    FROM prices
    WHERE tier = 1 AND valid_from <= $day_start AND (valid_to IS NULL OR valid_to > $day_start)
),
matches AS (
    SELECT plan, price_id, valid_from, column_name, fragment
    FROM price_matches
),
owned AS (
    SELECT
        slots.source,
        slots.key_ref,
        slots.key_state,
        slots.refused,
        slots.conflict,
        slots.meter,
        slots.outcome,
        slots.dimensions,
        slots.quantity,
        slots.events,
        owners.customer_id,
        plans.plan
    FROM slots
    LEFT JOIN owners
        ON owners.source = slots.source AND owners.key_ref = slots.key_ref
        AND owners.valid_from <= slots.slot_start AND (owners.valid_to IS NULL OR owners.valid_to > slots.slot_start)
    LEFT JOIN plans ON plans.customer_id = owners.customer_id
),
wanted AS (
    SELECT plan, meter, dimensions
    FROM (
        SELECT plan, meter, dimensions, row_number() OVER (PARTITION BY plan, meter, dimensions) AS copy
        FROM owned
        WHERE plan IS NOT NULL
    ) AS copies
    WHERE copy = 1
),
takers AS (
    SELECT wanted.plan, wanted.meter, wanted.dimensions, offers.price_id
    FROM wanted
    INNER JOIN offers ON offers.plan = wanted.plan AND offers.meter = wanted.meter
    LEFT JOIN matches
        ON matches.plan = offers.plan AND matches.price_id = offers.price_id AND matches.valid_from = offers.valid_from
        AND strpos(wanted.dimensions, matches.fragment) > 0
    GROUP BY wanted.plan, wanted.meter, wanted.dimensions, offers.price_id, offers.valid_from, offers.match_columns
    HAVING count(DISTINCT matches.column_name) = offers.match_columns
),
priced AS (
    SELECT DISTINCT plan, meter, dimensions FROM takers
),
attributed AS (
    SELECT
        owned.source,
        owned.key_ref,
        owned.customer_id,
        owned.meter,
        owned.dimensions,
        owned.quantity,
        owned.events,
        CASE
            WHEN $is_before_start THEN 'before_start'
            WHEN owned.outcome = 'not_billable' THEN 'not_billable'
            WHEN owned.refused THEN 'refused'
            WHEN owned.conflict THEN 'conflict'
            WHEN owned.key_state = 'truncated' THEN 'truncated'
            WHEN owned.key_state = 'absent' OR owned.key_ref IS NULL THEN 'anonymous'
            WHEN owned.outcome = 'undecided' THEN 'undecided'
            WHEN owned.customer_id IS NULL THEN 'unmapped'
            WHEN $has_rates AND priced.plan IS NULL THEN 'unpriced'
            ELSE 'mapped'
        END AS attribution,
        $is_of_customer AS is_of_customer
    FROM owned
    LEFT JOIN priced
        ON priced.plan = owned.plan AND priced.meter = owned.meter AND priced.dimensions = owned.dimensions
),
ranked AS (
    SELECT
        key_ref,
        row_number() OVER (
            ORDER BY sum(CASE WHEN attribution = 'unmapped' THEN events ELSE 0 END) DESC, key_ref
        ) AS place
    FROM attributed
    WHERE customer_id IS NULL AND key_ref IS NOT NULL AND attribution <> 'not_billable'
    GROUP BY key_ref
),
kept AS (
    SELECT key_ref FROM ranked WHERE place <= $keys_max
),
shown AS (
    SELECT
        CASE WHEN attributed.attribution IN ('mapped', 'unpriced') THEN attributed.customer_id END AS customer_id,
        CASE
            WHEN attributed.attribution = 'not_billable' THEN NULL
            WHEN attributed.key_ref IS NULL OR attributed.customer_id IS NOT NULL OR kept.key_ref IS NOT NULL
                THEN attributed.key_ref
            ELSE 'other'
        END AS key_ref,
        attributed.source,
        attributed.meter,
        attributed.dimensions,
        attributed.attribution,
        CASE WHEN attributed.is_of_customer THEN CAST(0 AS DECIMAL(38, 0)) ELSE attributed.quantity END AS quantity,
        attributed.events
    FROM attributed
    LEFT JOIN kept ON kept.key_ref = attributed.key_ref
),
-- if wholes
wholes AS (
    SELECT customer_id, meter, dimensions, CAST(max(quantity) AS DECIMAL(38, 0)) AS quantity
    FROM attributed
    WHERE is_of_customer AND attribution = 'mapped'
    GROUP BY customer_id, meter, dimensions
),
distinct_items AS (
    SELECT owners.customer_id, seen.meter, seen.dimensions, count(DISTINCT seen.item) AS quantity
    FROM seen
    INNER JOIN owners
        ON owners.source = seen.source AND owners.key_ref = seen.key_ref
        AND owners.valid_from <= seen.event_time AND (owners.valid_to IS NULL OR owners.valid_to > seen.event_time)
    GROUP BY owners.customer_id, seen.meter, seen.dimensions
),
rows_of_day AS (
    SELECT customer_id, key_ref, source, meter, dimensions, attribution, quantity, events
    FROM shown
    UNION ALL
    SELECT
        wholes.customer_id,
        CAST(NULL AS VARCHAR) AS key_ref,
        CAST(NULL AS VARCHAR) AS source,
        wholes.meter,
        wholes.dimensions,
        'mapped' AS attribution,
        coalesce(CAST(distinct_items.quantity AS DECIMAL(38, 0)), wholes.quantity) AS quantity,
        0 AS events
    FROM wholes
    LEFT JOIN distinct_items
        ON distinct_items.customer_id = wholes.customer_id
        AND distinct_items.meter = wholes.meter AND distinct_items.dimensions = wholes.dimensions
)
-- else
rows_of_day AS (
    SELECT customer_id, key_ref, source, meter, dimensions, attribution, quantity, events
    FROM shown
)
-- end
SELECT
    $day AS day,
    customer_id,
    key_ref,
    source,
    meter,
    dimensions,
    attribution,
    CAST(sum(quantity) AS DECIMAL(38, 0)) AS quantity,
    CAST(sum(events) AS BIGINT) AS events
FROM rows_of_day
GROUP BY customer_id, key_ref, source, meter, dimensions, attribution
ORDER BY source NULLS FIRST, meter, attribution, customer_id NULLS FIRST, key_ref NULLS FIRST, dimensions
