-- table: charges_daily
-- grain: one row per billing day, customer, plan, price, price interval, dimensions and tier
-- key: day, customer_id, plan, price_id, price_from, dimensions, tier
-- reads: usage_daily, customers, prices, price_matches, plan_terms
-- partition: day
--
-- One billing month up to a day, priced. There are four kinds of rows:
-- usage: the first price of the plan in force that day whose meter is the usage's and whose matches all hold takes the
--   mapped usage. A counter runs per customer, plan, price, the price's interval and month, and takes a day's rows in the
--   order of their dimensions; a row moves it from `before_row` to `after_row`. per_unit and graduated charge each tier
--   (tier_from, tier_to] for the part of the row that lies in it. package charges the packages that the row begins.
--   volume charges the row at the price of the tier that `after_row` lies in; where that is another price than before the
--   row, what was counted before is rated again in a row of its own, so that the month adds up to its total times one price.
-- flat: each day on the plan, with or without usage, its share of the month's amount.
-- discount: parts of a million off all usage and flat charges under the plan's terms, of the sum since the month began,
--   rounded down; a day has what that sum grew by.
-- minimum: on the last day on the plan, what the other charges lack to the sum of the days' shares of the minimum. Where
--   there is only a discount the minimum is 0: usage rated again after the discount ended could cost less than was taken off.
-- The share of day k of n is floor(A * k / n) - floor(A * (k - 1) / n) in nano-units, so that a whole month is A exactly.
--
-- Bounds. A quantity is below 2^63 and a unit price below 10^9 in magnitude, so the amount of a usage row is below 10^28 of
-- the 10^29 that DECIMAL(38,9) holds; counters are sums of a month's quantities in DECIMAL(38,0). Flat amounts and minimums
-- are below 10^18, which is 10^27 nano-units; times 31 days and with the 4 places that some engines add to a quotient they
-- stay below 10^33 of 10^38. A quotient is taken only of x - x % n by n, which is whole. A discount is reckoned from whole
-- thousandths and the rest, so no step is larger than the sum it is of. Sums of amounts are the one thing that many rows
-- could drive over 10^29: every amount is computed a second time after the run, in checked whole numbers, and compared.
-- Where no plan has a minimum or a discount, what stands for them between `if` and `else` is left out: it could give no row,
-- but everything priced would be computed twice.
-- Customers have nothing to do with one another, so a large month may be priced some customers at a time.
-- A row_number stands where a DISTINCT would do: DataFusion 55 believes that a distinct row stays distinct through a
-- join, and drops later groupings for it (apache/datafusion#23626).
WITH days AS (
    SELECT day, day_start, CAST(day_number AS DECIMAL(38, 0)) AS k, CAST($month_days AS DECIMAL(38, 0)) AS n
    FROM (VALUES $days) AS given (day, day_start, day_number)
),
usage AS (
    SELECT day, customer_id, meter, dimensions, CAST(sum(CAST(quantity AS DECIMAL(38, 0))) AS DECIMAL(38, 0)) AS quantity
    FROM usage_daily
    WHERE attribution IN ($attributions) AND day >= $day_from AND day <= $day_last$and_customers
    GROUP BY day, customer_id, meter, dimensions
),
stays AS (
    SELECT customer_id, plan, valid_from, valid_to
    FROM customers$where_customers
),
tiers AS (
    SELECT
        plan,
        price_id,
        valid_from,
        model,
        tier,
        CAST(CASE WHEN model = 'package' THEN 0 ELSE tier_from END AS DECIMAL(38, 0)) AS tier_from,
        CAST(tier_to AS DECIMAL(38, 0)) AS tier_to,
        unit_price,
        CAST(tier_from AS DECIMAL(38, 0)) AS free,
        CAST(package_size AS DECIMAL(38, 0)) AS package_size
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

-- Which price takes which usage.
planned AS (
    SELECT usage.day, days.day_start, usage.customer_id, stays.plan, usage.meter, usage.dimensions, usage.quantity
    FROM usage
    INNER JOIN days ON days.day = usage.day
    INNER JOIN stays
        ON stays.customer_id = usage.customer_id
        AND stays.valid_from <= days.day_start AND (stays.valid_to IS NULL OR stays.valid_to > days.day_start)
    WHERE usage.quantity > 0
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

-- What that usage costs.
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
        sum(quantity) OVER (
            PARTITION BY customer_id, plan, price_id, valid_from
            ORDER BY day, dimensions
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS after_row
    FROM taken
),
moved AS (
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
        CAST(after_row - quantity AS DECIMAL(38, 0)) AS before_row,
        CAST(after_row AS DECIMAL(38, 0)) AS after_row
    FROM counted
),
reached AS (
    SELECT
        moved.day,
        moved.customer_id,
        moved.plan,
        moved.price_id,
        moved.valid_from,
        moved.currency,
        moved.meter,
        moved.dimensions,
        moved.quantity,
        moved.before_row,
        moved.after_row,
        tiers.model,
        tiers.tier,
        tiers.unit_price,
        earlier.unit_price AS earlier_price,
        greatest(moved.before_row, tiers.tier_from) AS part_from,
        least(moved.after_row, coalesce(tiers.tier_to, moved.after_row)) AS part_to,
        greatest(moved.before_row - tiers.free, 0) + tiers.package_size - 1 AS packed_before,
        greatest(moved.after_row - tiers.free, 0) + tiers.package_size - 1 AS packed_after,
        tiers.package_size
    FROM moved
    INNER JOIN tiers
        ON tiers.plan = moved.plan AND tiers.price_id = moved.price_id AND tiers.valid_from = moved.valid_from
        AND tiers.tier_from < moved.after_row
        AND (
            tiers.tier_to IS NULL
            OR tiers.tier_to >= CASE WHEN tiers.model = 'volume' THEN moved.after_row ELSE moved.before_row + 1 END
        )
    LEFT JOIN tiers AS earlier
        ON earlier.plan = moved.plan AND earlier.price_id = moved.price_id AND earlier.valid_from = moved.valid_from
        AND earlier.model = 'volume' AND earlier.tier_from < moved.before_row
        AND (earlier.tier_to IS NULL OR earlier.tier_to >= moved.before_row)
),
rated AS (
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
        CASE WHEN is_again THEN 'rerate' ELSE CAST(tier AS VARCHAR) END AS tier,
        CASE
            WHEN is_again THEN 0
            WHEN model IN ('per_unit', 'graduated') THEN part_to - part_from
            ELSE quantity
        END AS quantity,
        CASE
            WHEN is_again THEN before_row
            WHEN model IN ('per_unit', 'graduated') THEN part_to - part_from
            WHEN model = 'package' THEN
                (packed_after - packed_after % package_size) / package_size
                - (packed_before - packed_before % package_size) / package_size
            ELSE quantity
        END AS billed,
        CASE WHEN is_again THEN unit_price - earlier_price ELSE unit_price END AS unit_price,
        CASE WHEN model IN ('per_unit', 'graduated') THEN part_from ELSE before_row END AS month_to_date_before
    FROM reached
    INNER JOIN (VALUES (FALSE), (TRUE)) AS passes (is_again) ON NOT is_again OR unit_price <> earlier_price
),

-- Shares of whole-month amounts: of flat prices, and of minimums (0 where a plan has a discount alone).
monthly AS (
    SELECT 'flat' AS kind, plan, price_id, valid_from, valid_to, currency, flat_amount AS amount
    FROM prices
    WHERE model = 'flat'
    UNION ALL
    SELECT 'minimum' AS kind, plan, 'minimum' AS price_id, valid_from, valid_to, currency, coalesce(minimum, 0) AS amount
    FROM plan_terms
    WHERE minimum > 0 OR discount_ppm > 0
),
accrued AS (
    SELECT
        monthly.kind,
        monthly.plan,
        monthly.price_id,
        monthly.valid_from,
        monthly.currency,
        days.day,
        days.day_start,
        days.n,
        CAST(monthly.amount * CAST(1000000000 AS DECIMAL(10, 0)) AS DECIMAL(38, 0)) * days.k AS today,
        CAST(monthly.amount * CAST(1000000000 AS DECIMAL(10, 0)) AS DECIMAL(38, 0)) * (days.k - 1) AS yesterday
    FROM monthly
    INNER JOIN days
        ON monthly.valid_from <= days.day_start AND (monthly.valid_to IS NULL OR monthly.valid_to > days.day_start)
),
shares AS (
    SELECT
        kind,
        plan,
        price_id,
        valid_from,
        currency,
        day,
        day_start,
        CAST(
            CAST((today - today % n) / n - (yesterday - yesterday % n) / n AS DECIMAL(38, 0))
            * CAST('0.000000001' AS DECIMAL(9, 9)) AS DECIMAL(38, 9)
        ) AS share
    FROM accrued
),

-- What the plan's prices come to.
priced AS (
    SELECT
        day,
        customer_id,
        plan,
        price_id,
        meter,
        tier,
        dimensions,
        CAST(quantity AS DECIMAL(38, 0)) AS quantity,
        CAST(unit_price AS DECIMAL(18, 9)) AS unit_price,
        CAST(CAST(billed AS DECIMAL(38, 0)) * CAST(unit_price AS DECIMAL(18, 9)) AS DECIMAL(38, 9)) AS amount,
        CAST(month_to_date_before AS DECIMAL(38, 0)) AS month_to_date_before,
        currency,
        'usage' AS kind,
        model,
        valid_from AS price_from,
        CAST(billed AS DECIMAL(38, 0)) AS billed
    FROM rated
    UNION ALL
    SELECT
        shares.day,
        stays.customer_id,
        shares.plan,
        shares.price_id,
        CAST(NULL AS VARCHAR) AS meter,
        '1' AS tier,
        '{}' AS dimensions,
        CAST(0 AS DECIMAL(38, 0)) AS quantity,
        CAST(NULL AS DECIMAL(18, 9)) AS unit_price,
        shares.share AS amount,
        CAST(0 AS DECIMAL(38, 0)) AS month_to_date_before,
        shares.currency,
        'flat' AS kind,
        'flat' AS model,
        shares.valid_from AS price_from,
        CAST(NULL AS DECIMAL(38, 0)) AS billed
    FROM shares
    INNER JOIN stays
        ON stays.plan = shares.plan
        AND stays.valid_from <= shares.day_start AND (stays.valid_to IS NULL OR stays.valid_to > shares.day_start)
    WHERE shares.kind = 'flat'
),

-- if plan_terms
-- The discount: S is the sum so far under the terms of the day, cut into whole thousandths and a rest of at least 0.
discounts AS (
    SELECT plan_terms.plan, plan_terms.valid_from, plan_terms.currency, plan_terms.discount_ppm, days.day
    FROM plan_terms
    INNER JOIN days
        ON plan_terms.valid_from <= days.day_start
        AND (plan_terms.valid_to IS NULL OR plan_terms.valid_to > days.day_start)
    WHERE plan_terms.discount_ppm > 0
),
daily AS (
    SELECT day, customer_id, plan, CAST(sum(amount) AS DECIMAL(38, 9)) AS amount
    FROM priced
    GROUP BY day, customer_id, plan
),
summed AS (
    SELECT
        daily.day,
        daily.customer_id,
        daily.plan,
        discounts.valid_from,
        discounts.currency,
        CAST(coalesce(discounts.discount_ppm, 0) AS DECIMAL(7, 0)) AS ppm,
        daily.amount,
        CAST(
            sum(daily.amount) OVER (
                PARTITION BY daily.customer_id, daily.plan, discounts.valid_from
                ORDER BY daily.day
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
            ) AS DECIMAL(38, 9)
        ) AS so_far
    FROM daily
    LEFT JOIN discounts ON discounts.plan = daily.plan AND discounts.day = daily.day
),
cut AS (
    SELECT
        day,
        customer_id,
        plan,
        valid_from,
        currency,
        ppm,
        amount,
        so_far,
        CAST(
            (so_far % CAST('0.001' AS DECIMAL(38, 9)) + CAST('0.001' AS DECIMAL(38, 9))) % CAST('0.001' AS DECIMAL(38, 9))
            AS DECIMAL(38, 9)
        ) AS rest
    FROM summed
),
parted AS (
    SELECT
        day,
        customer_id,
        plan,
        valid_from,
        currency,
        amount,
        CAST((so_far - rest) * CAST('0.000001' AS DECIMAL(6, 6)) AS DECIMAL(38, 9)) * ppm AS off_whole,
        CAST(rest * ppm * CAST('0.000001' AS DECIMAL(6, 6)) AS DECIMAL(38, 15)) AS off_rest
    FROM cut
),
taken_off AS (
    SELECT
        day,
        customer_id,
        plan,
        valid_from,
        currency,
        amount,
        CAST(
            off_whole + CAST(off_rest - off_rest % CAST('0.000000001' AS DECIMAL(38, 15)) AS DECIMAL(38, 9))
            AS DECIMAL(38, 9)
        ) AS off
    FROM parted
),
discounted AS (
    SELECT
        day,
        customer_id,
        plan,
        valid_from,
        currency,
        amount,
        coalesce(
            lag(off) OVER (PARTITION BY customer_id, plan, valid_from ORDER BY day), CAST(0 AS DECIMAL(38, 9))
        ) - off AS discount
    FROM taken_off
),

-- The minimum: what the days on the plan owe at least, on the last of them.
least_of_day AS (
    SELECT
        shares.plan,
        shares.currency,
        days.day,
        days.day_start,
        sum(CASE WHEN shares.day = days.day THEN shares.share ELSE CAST(0 AS DECIMAL(38, 9)) END) AS owed
    FROM shares
    CROSS JOIN days
    WHERE shares.kind = 'minimum'
    GROUP BY shares.plan, shares.currency, days.day, days.day_start
),
owed AS (
    SELECT
        stays.customer_id,
        stays.plan,
        least_of_day.currency,
        max(least_of_day.day) AS day,
        max(least_of_day.day_start) AS day_start,
        sum(least_of_day.owed) AS owed
    FROM least_of_day
    INNER JOIN stays
        ON stays.plan = least_of_day.plan
        AND stays.valid_from <= least_of_day.day_start
        AND (stays.valid_to IS NULL OR stays.valid_to > least_of_day.day_start)
    GROUP BY stays.customer_id, stays.plan, least_of_day.currency
),
due AS (
    SELECT
        'discount' AS kind,
        day,
        customer_id,
        plan,
        valid_from,
        currency,
        discount AS own,
        CAST(amount + discount AS DECIMAL(38, 9)) AS charged
    FROM discounted
    UNION ALL
    SELECT
        'minimum' AS kind,
        day,
        customer_id,
        plan,
        day_start AS valid_from,
        currency,
        CAST(owed AS DECIMAL(38, 9)) AS own,
        CAST(0 AS DECIMAL(38, 9)) AS charged
    FROM owed
),
settled AS (
    SELECT
        kind,
        day,
        customer_id,
        plan,
        valid_from,
        currency,
        own,
        sum(charged) OVER (PARTITION BY customer_id, plan) AS charged
    FROM due
),
adjusted AS (
    SELECT
        kind,
        day,
        customer_id,
        plan,
        CASE WHEN kind = 'discount' THEN valid_from END AS price_from,
        currency,
        CAST(CASE WHEN kind = 'discount' THEN own ELSE own - charged END AS DECIMAL(38, 9)) AS amount
    FROM settled
    WHERE (kind = 'discount' AND own <> 0) OR (kind = 'minimum' AND own > charged)
),
charges AS (
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
        price_from,
        billed
    FROM priced
    UNION ALL
    SELECT
        day,
        customer_id,
        plan,
        kind AS price_id,
        CAST(NULL AS VARCHAR) AS meter,
        '1' AS tier,
        '{}' AS dimensions,
        CAST(0 AS DECIMAL(38, 0)) AS quantity,
        CAST(NULL AS DECIMAL(18, 9)) AS unit_price,
        amount,
        CAST(0 AS DECIMAL(38, 0)) AS month_to_date_before,
        currency,
        kind,
        CAST(NULL AS VARCHAR) AS model,
        price_from,
        CAST(NULL AS DECIMAL(38, 0)) AS billed
    FROM adjusted
)
-- else
charges AS (
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
        price_from,
        billed
    FROM priced
)
-- end
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
    price_from,
    billed
FROM charges
ORDER BY day, customer_id, plan, price_id, price_from, dimensions, month_to_date_before, tier
