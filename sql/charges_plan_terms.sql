-- The part of charges_daily that follows from the terms of plans: discounts and minimums. It stands between the charges of
-- prices (`charged`) and the final selection, and only where a plan has terms.
,
daily AS (
    SELECT
        charged.day,
        charged.customer_id,
        charged.plan,
        plan_rules.currency,
        plan_rules.valid_from,
        plan_rules.ppm,
        CAST(sum(charged.amount) AS DECIMAL(38, 9)) AS amount
    FROM charged
    INNER JOIN days ON days.day = charged.day
    INNER JOIN plan_rules
        ON plan_rules.plan = charged.plan AND plan_rules.valid_from <= days.day_start
        AND (plan_rules.valid_to IS NULL OR plan_rules.valid_to > days.day_start)
    WHERE plan_rules.ppm > 0
    GROUP BY
        charged.day, charged.customer_id, charged.plan, plan_rules.currency, plan_rules.valid_from, plan_rules.ppm
),
to_date AS (
    SELECT
        day,
        customer_id,
        plan,
        currency,
        valid_from,
        CAST(
            sum(amount) OVER (
                PARTITION BY customer_id, plan, valid_from
                ORDER BY day
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
            ) * 1000000000 AS DECIMAL(38, 0)
        ) * ppm AS product
    FROM daily
),
whole_nanos AS (
    SELECT
        day,
        customer_id,
        plan,
        currency,
        valid_from,
        -- Rounded down, also below zero: a rerate may take back what another interval of the terms charged.
        CAST(
            (product - product % 1000000 - CASE WHEN product % 1000000 < 0 THEN 1000000 ELSE 0 END) / 1000000
            AS DECIMAL(38, 0)
        ) AS nanos
    FROM to_date
),
grown AS (
    SELECT
        day,
        customer_id,
        plan,
        currency,
        valid_from,
        nanos - coalesce(
            lag(nanos) OVER (PARTITION BY customer_id, plan, valid_from ORDER BY day),
            CAST(0 AS DECIMAL(38, 0))
        ) AS nanos
    FROM whole_nanos
),
discounts AS (
    SELECT day, customer_id, plan, currency, valid_from, CAST(nanos * $nano AS DECIMAL(38, 9)) AS amount
    FROM grown
    WHERE nanos <> 0
),
minimum_days AS (
    SELECT
        on_plan.day,
        on_plan.customer_id,
        on_plan.plan,
        plan_rules.currency,
        plan_rules.minimum_nanos * on_plan.day_of_month AS nanos_to_date,
        plan_rules.minimum_nanos * (on_plan.day_of_month - 1) AS nanos_before
    FROM on_plan
    INNER JOIN plan_rules
        ON plan_rules.plan = on_plan.plan AND plan_rules.valid_from <= on_plan.day_start
        AND (plan_rules.valid_to IS NULL OR plan_rules.valid_to > on_plan.day_start)
),
minimums AS (
    SELECT
        customer_id,
        plan,
        currency,
        CAST(
            sum(
                (nanos_to_date - nanos_to_date % $days_in_month) / $days_in_month
                - (nanos_before - nanos_before % $days_in_month) / $days_in_month
            ) AS DECIMAL(38, 0)
        ) AS nanos
    FROM minimum_days
    GROUP BY customer_id, plan, currency
),
last_days AS (
    SELECT customer_id, plan, max(day) AS day
    FROM on_plan
    GROUP BY customer_id, plan
),
reached AS (
    SELECT customer_id, plan, CAST(sum(amount) AS DECIMAL(38, 9)) AS amount
    FROM (
        SELECT customer_id, plan, amount FROM charged
        UNION ALL
        SELECT customer_id, plan, -amount AS amount FROM discounts
    ) AS sums
    GROUP BY customer_id, plan
),
missing AS (
    SELECT
        last_days.day,
        minimums.customer_id,
        minimums.plan,
        minimums.currency,
        CAST(
            CAST(minimums.nanos * $nano AS DECIMAL(38, 9)) - coalesce(reached.amount, CAST(0 AS DECIMAL(38, 9)))
            AS DECIMAL(38, 9)
        ) AS amount
    FROM minimums
    INNER JOIN last_days ON last_days.customer_id = minimums.customer_id AND last_days.plan = minimums.plan
    LEFT JOIN reached ON reached.customer_id = minimums.customer_id AND reached.plan = minimums.plan
),
with_terms AS (
    SELECT
        day, customer_id, plan, price_id, valid_from, currency, meter, dimensions, kind, model, tier, quantity, billed,
        unit_price, amount, month_to_date_before
    FROM charged
    UNION ALL
    SELECT
        day,
        customer_id,
        plan,
        'discount' AS price_id,
        valid_from,
        currency,
        CAST(NULL AS VARCHAR) AS meter,
        '{}' AS dimensions,
        'discount' AS kind,
        CAST(NULL AS VARCHAR) AS model,
        '1' AS tier,
        CAST(0 AS DECIMAL(38, 0)) AS quantity,
        CAST(NULL AS DECIMAL(38, 0)) AS billed,
        CAST(NULL AS DECIMAL(18, 9)) AS unit_price,
        CAST(-amount AS DECIMAL(38, 9)) AS amount,
        CAST(0 AS DECIMAL(38, 0)) AS month_to_date_before
    FROM discounts
    UNION ALL
    SELECT
        day,
        customer_id,
        plan,
        'minimum' AS price_id,
        CAST(NULL AS TIMESTAMP WITH TIME ZONE) AS valid_from,
        currency,
        CAST(NULL AS VARCHAR) AS meter,
        '{}' AS dimensions,
        'minimum' AS kind,
        CAST(NULL AS VARCHAR) AS model,
        '1' AS tier,
        CAST(0 AS DECIMAL(38, 0)) AS quantity,
        CAST(NULL AS DECIMAL(38, 0)) AS billed,
        CAST(NULL AS DECIMAL(18, 9)) AS unit_price,
        amount,
        CAST(0 AS DECIMAL(38, 0)) AS month_to_date_before
    FROM missing
    WHERE amount > 0
)
