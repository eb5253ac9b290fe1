-- table: charges_daily
-- grain: one row per billing day, customer, plan, price, dimensions and tier
-- key: day, customer_id, plan, price_id, dimensions, tier
-- reads: usage_daily, customers, prices, price_matches
-- partition: day
--
-- The mapped usage of one billing month up to a day, priced. The first price of the plan in force that day whose meter
-- is the usage's and whose matches all hold takes it. A counter runs per customer, plan, price, the price's interval and
-- month: it starts at 0 with the month, with another plan and with another interval of the price, and takes a day's rows
-- in the order of their dimensions. Each tier (tier_from, tier_to] is charged for the part of a row that lies in it, so
-- the parts of a row add up to the row. A model that prices otherwise is one more branch of `charged`.
-- Bounds: a quantity is below 2^63 and a unit price below 10^9, so an amount is below 10^28 of the 10^29 that
-- DECIMAL(38,9) holds; counters are sums of at most 31 days' quantities in DECIMAL(38,0). Both are checked after the run.
-- A row_number stands where a DISTINCT would do: DataFusion 55 believes that a distinct row stays distinct through a
-- join, and drops later groupings for it (apache/datafusion#23626).
WITH days AS (
    SELECT day, day_start
    FROM (VALUES $days) AS given (day, day_start)
),
usage AS (
    SELECT day, customer_id, meter, dimensions, CAST(sum(CAST(quantity AS DECIMAL(38, 0))) AS DECIMAL(38, 0)) AS quantity
    FROM usage_daily
    WHERE attribution = 'mapped' AND day >= $day_from AND day <= $day_last
    GROUP BY day, customer_id, meter, dimensions
),
terms AS (
    SELECT customer_id, plan, valid_from, valid_to
    FROM customers
),
tiers AS (
    SELECT
        plan,
        price_id,
        valid_from,
        model,
        tier,
        CAST(tier_from AS DECIMAL(38, 0)) AS tier_from,
        CAST(tier_to AS DECIMAL(38, 0)) AS tier_to,
        unit_price
    FROM prices
),
offers AS (
    SELECT plan, currency, price_id, position AS place, meter, match_columns, valid_from, valid_to
    FROM prices
    WHERE tier = 1
),
matches AS (
    SELECT plan, price_id, valid_from, column_name, fragment
    FROM price_matches
),
planned AS (
    SELECT usage.day, days.day_start, usage.customer_id, terms.plan, usage.meter, usage.dimensions, usage.quantity
    FROM usage
    INNER JOIN days ON days.day = usage.day
    INNER JOIN terms
        ON terms.customer_id = usage.customer_id
        AND terms.valid_from <= days.day_start AND (terms.valid_to IS NULL OR terms.valid_to > days.day_start)
),
wanted AS (
    SELECT day, day_start, plan, meter, dimensions
    FROM (
        SELECT
            day,
            day_start,
            plan,
            meter,
            dimensions,
            row_number() OVER (PARTITION BY day, day_start, plan, meter, dimensions) AS copy
        FROM planned
    ) AS copies
    WHERE copy = 1
),
takers AS (
    SELECT
        wanted.day,
        wanted.plan,
        wanted.meter,
        wanted.dimensions,
        offers.price_id,
        offers.valid_from,
        offers.currency,
        row_number() OVER (
            PARTITION BY wanted.day, wanted.plan, wanted.meter, wanted.dimensions ORDER BY offers.place, offers.price_id
        ) AS choice
    FROM wanted
    INNER JOIN offers
        ON offers.plan = wanted.plan AND offers.meter = wanted.meter
        AND offers.valid_from <= wanted.day_start AND (offers.valid_to IS NULL OR offers.valid_to > wanted.day_start)
    LEFT JOIN matches
        ON matches.plan = offers.plan AND matches.price_id = offers.price_id AND matches.valid_from = offers.valid_from
        AND strpos(wanted.dimensions, matches.fragment) > 0
    GROUP BY
        wanted.day, wanted.plan, wanted.meter, wanted.dimensions,
        offers.price_id, offers.valid_from, offers.currency, offers.place, offers.match_columns
    HAVING count(DISTINCT matches.column_name) = offers.match_columns
),
taken AS (
    SELECT
        planned.day,
        planned.customer_id,
        planned.plan,
        takers.price_id,
        takers.valid_from,
        takers.currency,
        planned.meter,
        planned.dimensions,
        planned.quantity
    FROM planned
    INNER JOIN takers
        ON takers.day = planned.day AND takers.plan = planned.plan
        AND takers.meter = planned.meter AND takers.dimensions = planned.dimensions
    WHERE takers.choice = 1
),
counted AS (
    SELECT
        day,
        customer_id,
        plan,
        price_id,
        valid_from,
        currency,
        meter,
        dimensions,
        quantity,
        coalesce(
            sum(quantity) OVER (
                PARTITION BY customer_id, plan, price_id, valid_from
                ORDER BY day, dimensions
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ),
            CAST(0 AS DECIMAL(38, 0))
        ) AS before_row
    FROM taken
),
parts AS (
    SELECT
        counted.day,
        counted.customer_id,
        counted.plan,
        counted.price_id,
        counted.currency,
        counted.meter,
        counted.dimensions,
        tiers.tier,
        tiers.unit_price,
        greatest(counted.before_row, tiers.tier_from) AS part_from,
        least(
            counted.before_row + counted.quantity,
            coalesce(tiers.tier_to, counted.before_row + counted.quantity)
        ) AS part_to
    FROM counted
    INNER JOIN tiers
        ON tiers.plan = counted.plan AND tiers.price_id = counted.price_id AND tiers.valid_from = counted.valid_from
    WHERE tiers.model IN ('per_unit', 'graduated')
),
charged AS (
    SELECT
        day,
        customer_id,
        plan,
        price_id,
        meter,
        CAST(tier AS VARCHAR) AS tier,
        dimensions,
        CAST(part_to - part_from AS DECIMAL(38, 0)) AS quantity,
        unit_price,
        part_from AS month_to_date_before,
        currency
    FROM parts
    WHERE part_to > part_from
)
SELECT
    day,
    customer_id,
    plan,
    price_id,
    meter,
    tier,
    dimensions,
    quantity,
    unit_price,
    CAST(quantity * unit_price AS DECIMAL(38, 9)) AS amount,
    CAST(month_to_date_before AS DECIMAL(38, 0)) AS month_to_date_before,
    currency
FROM charged
ORDER BY day, customer_id, plan, price_id, dimensions, month_to_date_before, tier
