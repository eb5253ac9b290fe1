//! What a rule may say and what is refused, with the reason it is refused for.

use super::*;

fn meter(where_sql: &str) -> Meter {
    Meter {
        name: "calls".to_owned(),
        sources: vec!["origin".to_owned()],
        table: Table::OriginRequests,
        where_sql: Some(where_sql.to_owned()),
        value: MeterValue::Count,
        group_by: Vec::new(),
    }
}

fn sum(value: &str) -> Meter {
    Meter { where_sql: None, value: MeterValue::Sum(value.to_owned()), ..meter("") }
}

#[test]
fn rewrites_what_it_understood() {
    for (given, written) in [
        ("STATUS<500", "status < 500"),
        ("status NOT IN (401,403) -- for free", "status NOT IN (401, 403)"),
        ("route = 'it''s' or not method like 'O%'", "(route = 'it''s') OR (NOT ((method LIKE 'O%')))"),
        (
            "case when status >= 500 then false else route is not null end",
            "CASE WHEN status >= 500 THEN FALSE ELSE route IS NOT NULL END",
        ),
        ("substring(path, 1, 4) = '/v1/'", "(substr(path, 1, 4)) = '/v1/'"),
        (
            "coalesce(response_bytes, 0) / 1024 between 1 and 9",
            "(((coalesce(response_bytes, 0)) / 1024) BETWEEN 1 AND 9)",
        ),
        ("try_cast(subject as bigint) is null", "(TRY_CAST(subject AS BIGINT)) IS NULL"),
    ] {
        assert_eq!(meter(given).pieces().unwrap().where_sql, written, "{given}");
    }
}

#[test]
fn refuses_what_could_mean_something_else() {
    for (given, why) in [
        ("statu < 500", "no column `statu` for meters of `origin_requests`, did you mean `status`?"),
        ("fingerprint = 1", "no column `fingerprint` for meters of `origin_requests`"),
        ("method <> \"OPTIONS\"", "no column `OPTIONS` for meters of `origin_requests`"),
        ("status < 500) OR (TRUE", "not an SQL expression: `)` is left over"),
        ("status < '500'", "`'500'` is text, but an integer is wanted"),
        ("status", "`status` is an integer, but a condition is wanted"),
        ("status < 499.5", "`499.5` cannot be used here: numbers are whole and fit 64 bits"),
        (
            "random() < 1",
            "`random()` cannot be used here: the functions are abs, coalesce, greatest, least, length, lower, nullif, replace, starts_with, strpos, substr and upper",
        ),
        (
            "length(path) OVER () = 1",
            "`length(path) OVER ()` cannot be used here: a function has plain arguments here, no window, filter or star",
        ),
        ("path LIKE '10\\%'", "`'10\\%'` cannot be used here: a pattern is quoted text without a backslash"),
        (
            "response_bytes / status > 1",
            "`response_bytes / status` cannot be used here: a divisor is a positive constant",
        ),
        (
            "cast(subject as bigint) = 1",
            "`CAST(subject AS BIGINT)` cannot be used here: casts are CAST(integer AS VARCHAR) and TRY_CAST(text AS BIGINT), which is NULL where the text is no number",
        ),
    ] {
        assert_eq!(
            meter(given).check().unwrap_err().to_string(),
            format!("`where` of meter `calls`: {why}"),
            "{given}"
        );
    }
    for given in [
        "status IN (SELECT 1)",
        "EXISTS (SELECT 1)",
        "count(*) > 1",
        "$1 = 1",
        "a.status = 1",
        "path ~ 'x'",
        "now() IS NULL",
    ] {
        assert!(meter(given).check().is_err(), "{given}");
    }
}

#[test]
fn a_value_cannot_wrap_around() {
    assert_eq!(sum("response_bytes * 1000").check(), Ok(()));
    assert_eq!(sum("(response_bytes + 1023) / 1024").check(), Ok(()));
    let wrong = sum("response_bytes * response_bytes").check().unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "`value` of meter `calls`: `response_bytes * response_bytes` could exceed 64 bits; numbers of an event are taken to be at most 2^53"
    );
    assert!(sum("try_cast(subject as bigint) + 1").check().is_err());
    assert!(sum("route").check().is_err());
}

#[test]
fn deep_conditions_take_no_time_and_have_an_end() {
    let long = |links| vec!["status <> 418"; links].join(" AND ");
    assert_eq!(meter(&long(90)).check(), Ok(()));
    let wrong = meter(&long(200)).check().unwrap_err().to_string();
    assert_eq!(wrong, "`where` of meter `calls`: not an SQL expression: it nests more than 100 deep");
    assert!(meter(&long(2000)).check().is_err());
}

#[test]
fn a_dimension_is_named_once() {
    let twice = Meter { group_by: vec!["route".to_owned(), "route".to_owned()], ..meter("TRUE") };
    assert_eq!(twice.check().unwrap_err().to_string(), "`group_by` of meter `calls`: `route` is named twice");
}

#[test]
fn a_value_is_a_count_a_sum_distinct_values_or_a_maximum() {
    let unique = |value: &str| MeterValue::Unique(value.to_owned());
    for (given, value) in [
        ("count", MeterValue::Count),
        (" Count ", MeterValue::Count),
        ("response_bytes", MeterValue::Sum("response_bytes".to_owned())),
        ("length(path)", MeterValue::Sum("length(path)".to_owned())),
        ("unique(subject)", unique("subject")),
        ("UNIQUE ( coalesce(subject, user_agent) )", unique("coalesce(subject, user_agent)")),
        ("unique(')')", unique("')'")),
        ("max(latency_ms)", MeterValue::Max("latency_ms".to_owned())),
        // Not one call as a whole: an expression to sum, and refused as one.
        ("max(latency_ms) + max(status)", MeterValue::Sum("max(latency_ms) + max(status)".to_owned())),
        ("unique(subject", MeterValue::Sum("unique(subject".to_owned())),
    ] {
        assert_eq!(MeterValue::read(given), Ok(value), "{given}");
    }
    for (given, why) in [
        ("uniqe(subject)", "did you mean `unique`?"),
        ("mx(latency_ms)", "did you mean `max`?"),
        ("unique()", "`unique` takes one expression, such as `unique(response_bytes)`"),
        ("max(status, latency_ms)", "`max` takes one expression, such as `max(response_bytes)`"),
        ("unique(distinct subject)", "`unique` takes one expression, such as `unique(response_bytes)`"),
        ("sum(response_bytes)", "an expression is summed as it is, did you mean `response_bytes`?"),
        ("count(*)", "did you mean `count`, or `unique(…)` for distinct values?"),
        ("count(distinct subject)", "did you mean `count`, or `unique(…)` for distinct values?"),
    ] {
        let wrong = MeterValue::read(given).unwrap_err().to_string();
        assert_eq!(wrong, format!("`{given}` cannot be used here: {why}"));
    }
}

#[test]
fn distinct_values_are_told_apart_as_text() {
    let unique = |value: &str| Meter { value: MeterValue::Unique(value.to_owned()), ..sum("") };
    for (given, item) in [
        ("subject", "(subject)"),
        ("status / 100", "CAST((status / 100) AS VARCHAR)"),
        ("status = 200", "CAST((status = 200) AS VARCHAR)"),
        ("lower(user_agent)", "(lower(user_agent))"),
    ] {
        let pieces = unique(given).pieces().unwrap();
        assert_eq!(pieces.item_sql.as_deref(), Some(item));
        assert_eq!(pieces.value_sql, format!("CASE WHEN {item} IS NOT NULL THEN 0 END"));
    }
    for (given, why) in [
        ("null", "`NULL` cannot be used here: it is never a value"),
        ("subjct", "no column `subjct` for meters of `origin_requests`, did you mean `subject`?"),
        ("source_object", "no column `source_object` for meters of `origin_requests`"),
        (
            "(select 1)",
            "`(SELECT 1)` cannot be used here: a meter has columns, constants, comparisons, AND, OR, NOT, IN lists, BETWEEN, LIKE, CASE, + - * / % and a few functions",
        ),
    ] {
        let wrong = unique(given).check().unwrap_err().to_string();
        assert_eq!(wrong, format!("`value` of meter `calls`: {why}"));
    }
    assert!(unique("random()").check().is_err());
}

#[test]
fn a_maximum_is_of_whole_numbers() {
    let max = |value: &str| Meter { value: MeterValue::Max(value.to_owned()), ..sum("") };
    assert_eq!(max("greatest(latency_ms, integration_latency_ms)").check(), Ok(()));
    let wrong = max("route").check().unwrap_err().to_string();
    assert_eq!(wrong, "`value` of meter `calls`: `route` is text, but an integer is wanted");
    assert!(max("response_bytes * response_bytes").check().is_err());
}

#[test]
fn meters_that_count_otherwise_are_defined_otherwise() {
    let with = |value: fn(String) -> MeterValue| Meter { value: value("status".to_owned()), ..sum("") }.definition();
    let all = [with(MeterValue::Sum), with(MeterValue::Max), with(MeterValue::Unique), sum("latency_ms").definition()];
    assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
}
