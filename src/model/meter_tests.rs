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
