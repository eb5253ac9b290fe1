-- table: charges_daily
-- grain: one row per billing day, customer, plan, price, price interval, dimensions and tier
-- key: day, customer_id, plan, price_id, price_from, dimensions, tier
-- reads: usage_daily, customers, prices, price_matches, plan_terms
-- partition: day
--
-- One billing month up to a day, priced. The first price of the plan in force that day whose meter is the usage's and
-- whose matches all hold takes it. A counter runs per customer, plan, price, the price's interval and month: it starts
-- at 0 with the month, with another plan and with another interval of the price, and takes a day's rows in the order of
-- their dimensions. What a row costs by the model of its price:
--   per_unit, graduated: each tier (tier_from, tier_to] takes the part of the row that lies in it.
--   package: the packages that the row begins; units up to tier_from are free.
--   volume: the row at the price of the tier its end lies in; where that is another tier than before the row, a row
--     `rerate` brings what was counted before to the new price. So a month costs its total at its last tier's price.
--   flat: of the monthly amount A the share of day k of n, floor(A*k/n) - floor(A*(k-1)/n) in nano-units.
-- A plan's discount is taken from the usage and flat charges so far, floor(sum*ppm/1000000) in nano-units, each day
-- what it grew by. A plan's minimum is shared over its days as a flat amount is; what the charges lack to it is a row
-- on the last day. Quotients are exact: the remainder is subtracted before dividing.
-- Bounds: a quantity is below 2^63, a counter below 31*2^63 < 3*10^20, a unit price or fee below 10^9 = 10^18
-- nano-units, so a row's amount is below 3*10^29 units of DECIMAL(38,9)'s 10^29 only where a counter is near its bound;
-- amounts are computed again in whole numbers after the run, and one that does not fit stops the build. A fee times 31
-- is below 10^20 nano-units. A sum times ppm fits DECIMAL(38,0) below 10^32 nano-units; beyond that the engine stops.
-- A row_number stands where a DISTINCT would do: DataFusion 55 believes that a distinct row stays distinct through a
-- join, and drops later groupings for it (apache/datafusion#23626).
WITH days AS (
    SELECT day, day_start, CAST(day_of_month AS DECIMAL(38, 0)) AS day_of_month
    FROM (VALUES $days) AS given (day, day_start, day_of_month)
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
        unit_price,
        CAST(package_size AS DECIMAL(38, 0)) AS package_size
    FROM prices
    WHERE model <> 'flat'
),
offers AS (
    SELECT plan, currency, price_id, position AS place, meter, match_columns, valid_from, valid_to
    FROM prices
    WHERE tier = 1 AND model <> 'flat'
),
fees AS (
    SELECT
        plan,
        currency,
        price_id,
        valid_from,
        valid_to,
        CAST(flat_amount * 1000000000 AS DECIMAL(38, 0)) AS nanos
    FROM prices
    WHERE model = 'flat'
),
plan_rules AS (
    SELECT
        plan,
        currency,
        valid_from,
        valid_to,
        CAST(minimum * 1000000000 AS DECIMAL(38, 0)) AS minimum_nanos,
        CAST(discount_ppm AS DECIMAL(38, 0)) AS ppm
    FROM plan_terms
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
    WHERE quantity > 0
),
parts AS (
    SELECT
        counted.day,
        counted.customer_id,
        counted.plan,
        counted.price_id,
        counted.valid_from,
        counted.currency,
        counted.meter,
        counted.dimensions,
        tiers.model,
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
packaged AS (
    SELECT
        counted.day,
        counted.customer_id,
        counted.plan,
        counted.price_id,
        counted.valid_from,
        counted.currency,
        counted.meter,
        counted.dimensions,
        counted.quantity,
        counted.before_row,
        tiers.unit_price,
        tiers.package_size,
        -- One less than a whole package is added, so that a package begun counts.
        greatest(counted.before_row - tiers.tier_from, CAST(0 AS DECIMAL(38, 0))) + tiers.package_size - 1 AS up_to_before,
        greatest(counted.before_row + counted.quantity - tiers.tier_from, CAST(0 AS DECIMAL(38, 0)))
        + tiers.package_size - 1 AS up_to_after
    FROM counted
    INNER JOIN tiers
        ON tiers.plan = counted.plan AND tiers.price_id = counted.price_id AND tiers.valid_from = counted.valid_from
    WHERE tiers.model = 'package'
),
rated AS (
    SELECT
        counted.day,
        counted.customer_id,
        counted.plan,
        counted.price_id,
        counted.valid_from,
        counted.currency,
        counted.meter,
        counted.dimensions,
        counted.quantity,
        counted.before_row,
        tiers.tier,
        tiers.unit_price
    FROM counted
    INNER JOIN tiers
        ON tiers.plan = counted.plan AND tiers.price_id = counted.price_id AND tiers.valid_from = counted.valid_from
        AND tiers.tier_from < counted.before_row + counted.quantity
        AND (tiers.tier_to IS NULL OR tiers.tier_to >= counted.before_row + counted.quantity)
    WHERE tiers.model = 'volume'
),
rerated AS (
    SELECT
        rated.day,
        rated.customer_id,
        rated.plan,
        rated.price_id,
        rated.valid_from,
        rated.currency,
        rated.meter,
        rated.dimensions,
        rated.before_row,
        CAST(rated.unit_price - tiers.unit_price AS DECIMAL(18, 9)) AS unit_price
    FROM rated
    INNER JOIN tiers
        ON tiers.plan = rated.plan AND tiers.price_id = rated.price_id AND tiers.valid_from = rated.valid_from
        AND tiers.tier_from < rated.before_row AND (tiers.tier_to IS NULL OR tiers.tier_to >= rated.before_row)
    WHERE tiers.model = 'volume' AND tiers.unit_price <> rated.unit_price
),
used AS (
    SELECT
        day,
        customer_id,
        plan,
        price_id,
        valid_from,
        currency,
        meter,
        dimensions,
        model,
        CAST(tier AS VARCHAR) AS tier,
        CAST(part_to - part_from AS DECIMAL(38, 0)) AS quantity,
        CAST(part_to - part_from AS DECIMAL(38, 0)) AS billed,
        unit_price,
        part_from AS month_to_date_before
    FROM parts
    WHERE part_to > part_from
    UNION ALL
    SELECT
        day,
        customer_id,
        plan,
        price_id,
        valid_from,
        currency,
        meter,
        dimensions,
        'package' AS model,
        '1' AS tier,
        quantity,
        CAST(
            (up_to_after - up_to_after % package_size) / package_size
            - (up_to_before - up_to_before % package_size) / package_size AS DECIMAL(38, 0)
        ) AS billed,
        unit_price,
        before_row AS month_to_date_before
    FROM packaged
    UNION ALL
    SELECT
        day,
        customer_id,
        plan,
        price_id,
        valid_from,
        currency,
        meter,
        dimensions,
        'volume' AS model,
        CAST(tier AS VARCHAR) AS tier,
        quantity,
        quantity AS billed,
        unit_price,
        before_row AS month_to_date_before
    FROM rated
    UNION ALL
    SELECT
        day,
        customer_id,
        plan,
        price_id,
        valid_from,
        currency,
        meter,
        dimensions,
        'volume' AS model,
        'rerate' AS tier,
        CAST(0 AS DECIMAL(38, 0)) AS quantity,
        before_row AS billed,
        unit_price,
        before_row AS month_to_date_before
    FROM rerated
),
on_plan AS (
    SELECT days.day, days.day_start, days.day_of_month, terms.customer_id, terms.plan
    FROM days
    INNER JOIN terms
        ON terms.valid_from <= days.day_start AND (terms.valid_to IS NULL OR terms.valid_to > days.day_start)
),
fee_days AS (
    SELECT
        on_plan.day,
        on_plan.customer_id,
        on_plan.plan,
        fees.price_id,
        fees.valid_from,
        fees.currency,
        fees.nanos * on_plan.day_of_month AS nanos_to_date,
        fees.nanos * (on_plan.day_of_month - 1) AS nanos_before
    FROM on_plan
    INNER JOIN fees
        ON fees.plan = on_plan.plan
        AND fees.valid_from <= on_plan.day_start AND (fees.valid_to IS NULL OR fees.valid_to > on_plan.day_start)
),
charged AS (
    SELECT
        day,
        customer_id,
        plan,
        price_id,
        valid_from,
        currency,
        meter,
        dimensions,
        'usage' AS kind,
        model,
        tier,
        quantity,
        billed,
        unit_price,
        CAST(billed * unit_price AS DECIMAL(38, 9)) AS amount,
        month_to_date_before
    FROM used
    UNION ALL
    SELECT
        day,
        customer_id,
        plan,
        price_id,
        valid_from,
        currency,
        CAST(NULL AS VARCHAR) AS meter,
        '{}' AS dimensions,
        'flat' AS kind,
        'flat' AS model,
        '1' AS tier,
        CAST(0 AS DECIMAL(38, 0)) AS quantity,
        CAST(NULL AS DECIMAL(38, 0)) AS billed,
        CAST(NULL AS DECIMAL(18, 9)) AS unit_price,
        CAST(
            CAST(
                (nanos_to_date - nanos_to_date % $days_in_month) / $days_in_month
                - (nanos_before - nanos_before % $days_in_month) / $days_in_month AS DECIMAL(38, 0)
            ) * $nano AS DECIMAL(38, 9)
        ) AS amount,
        CAST(0 AS DECIMAL(38, 0)) AS month_to_date_before
    FROM fee_days
)$plan_rows
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
    amount,
    month_to_date_before,
    currency,
    kind,
    model,
    valid_from AS price_from,
    billed
FROM $whole
ORDER BY day, customer_id, plan, price_id, price_from, dimensions, month_to_date_before, tier
