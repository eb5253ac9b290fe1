//! What people call things: names of JSON keys to `$context` variables and to columns. A name is only a proposal; whether
//! the values are such decides (`gateway`, `own`).

use super::tree::plain;

/// The variables of access logs, without `$context.`; REST, HTTP and WebSocket APIs.
const VARIABLES: &[&str] = &[
    "accountId",
    "apiId",
    "authenticate.error",
    "authenticate.latency",
    "authenticate.status",
    "authorize.error",
    "authorize.latency",
    "authorize.status",
    "authorizer.error",
    "authorizer.integrationLatency",
    "authorizer.integrationStatus",
    "authorizer.latency",
    "authorizer.principalId",
    "authorizer.requestId",
    "authorizer.status",
    "awsEndpointRequestId",
    "awsEndpointRequestId2",
    "cipherSuite",
    "connectedAt",
    "connectionId",
    "customDomain.basePathMatched",
    "dataProcessed",
    "deploymentId",
    "domainName",
    "domainPrefix",
    "endpointType",
    "error.message",
    "error.messageString",
    "error.responseType",
    "error.validationErrorString",
    "eventType",
    "extendedRequestId",
    "httpMethod",
    "identity.accountId",
    "identity.apiKey",
    "identity.apiKeyId",
    "identity.caller",
    "identity.clientCert.clientCertPem",
    "identity.clientCert.issuerDN",
    "identity.clientCert.serialNumber",
    "identity.clientCert.subjectDN",
    "identity.cognitoAuthenticationProvider",
    "identity.cognitoAuthenticationType",
    "identity.cognitoIdentityId",
    "identity.cognitoIdentityPoolId",
    "identity.principalOrgId",
    "identity.sourceIp",
    "identity.user",
    "identity.userAgent",
    "identity.userArn",
    "identity.vpcId",
    "identity.vpceId",
    "integration.error",
    "integration.latency",
    "integration.requestId",
    "integration.status",
    "integrationErrorMessage",
    "integrationLatency",
    "integrationStatus",
    "isCanaryRequest",
    "messageDirection",
    "messageId",
    "path",
    "protocol",
    "requestId",
    "requestTime",
    "requestTimeEpoch",
    "resourceId",
    "resourcePath",
    "responseLatency",
    "responseLength",
    "routeKey",
    "stage",
    "status",
    "tlsVersion",
    "waf.error",
    "waf.latency",
    "waf.status",
    "wafResponseCode",
    "webaclArn",
    "xrayTraceId",
];

/// Other names for them, as [`plain`] makes them; where several come into question, the first that fits is meant.
const OTHER_NAMES: &[(&[&str], &[&str])] = &[
    (&["ip", "clientip", "remoteip", "remoteaddr", "viewerip", "ipaddress"], &["identity.sourceIp"]),
    (&["time", "timestamp", "ts", "datetime", "eventtime", "epoch"], &["requestTimeEpoch", "requestTime"]),
    (&["requesttime", "requesttimeepoch", "requesttimems"], &["requestTime", "requestTimeEpoch"]),
    (&["id", "reqid", "xrequestid", "awsrequestid", "apigwrequestid", "correlationid"], &["requestId"]),
    (&["extendedid", "xamzapigwid", "extrequestid", "apigwid"], &["extendedRequestId"]),
    (&["statuscode", "httpstatus", "httpstatuscode", "responsestatus", "code"], &["status"]),
    (&["method", "verb", "requestmethod"], &["httpMethod"]),
    (&["route"], &["routeKey", "resourcePath"]),
    (&["resource"], &["resourcePath"]),
    (&["uri", "url", "requestpath", "requesturi"], &["path"]),
    (&["bytes", "responsebytes", "responsesize", "bytessent", "size", "contentlength"], &["responseLength"]),
    (&["latency", "latencyms", "duration", "durationms", "responsetime", "responselatencyms"], &["responseLatency"]),
    (&["integrationlatencyms", "backendlatency", "backendlatencyms"], &["integrationLatency"]),
    (&["ua", "agent"], &["identity.userAgent"]),
    (&["keyid"], &["identity.apiKeyId"]),
    (&["xapikey"], &["identity.apiKey"]),
    (&["principalid", "principal"], &["authorizer.principalId"]),
    (&["sub"], &["authorizer.claims.sub"]),
    (&["responsetype", "errorresponsetype", "errortype"], &["error.responseType"]),
    (&["wafresponse"], &["wafResponseCode"]),
    (&["wafstatuscode"], &["waf.status"]),
    (&["account", "awsaccountid", "owner"], &["accountId"]),
    (&["api", "restapiid", "httpapiid"], &["apiId"]),
    (&["host", "domain"], &["domainName"]),
    (&["httpprotocol"], &["protocol"]),
    (&["traceid", "xrayid"], &["xrayTraceId"]),
];

/// Names of what an authorizer may tell of the caller.
const OF_AUTHORIZER: &[&str] =
    &["customerid", "customer", "tenantid", "tenant", "clientid", "orgid", "cfid", "edgerequestid"];

/// The variables that a key may hold, the likeliest first.
pub(super) fn variables(path: &[String]) -> Vec<String> {
    let Some(last) = path.last() else { return Vec::new() };
    let path = if plain(&path[0]) == "context" && path.len() > 1 { &path[1..] } else { path };
    let whole: String = path.iter().map(|key| plain(key)).collect();
    let name = plain(last);
    let mut found = Vec::new();
    let mut add = |variable: &str| {
        if !found.iter().any(|known| known == variable) {
            found.push(variable.to_owned());
        }
    };
    let exact = path.join(".");
    VARIABLES.iter().filter(|variable| **variable == exact).for_each(|variable| add(variable));
    VARIABLES.iter().filter(|variable| plain(variable) == whole).for_each(|variable| add(variable));
    // What an authorizer or a token says may have any name.
    match path {
        [outer, rest @ ..] if plain(outer) == "authorizer" && !rest.is_empty() => {
            add(&format!("authorizer.{}", rest.join(".")));
        }
        [outer, claim] if matches!(plain(outer).as_str(), "claims" | "jwt") => {
            add(&format!("authorizer.claims.{claim}"));
        }
        _ => {}
    }
    let others = OTHER_NAMES.iter().filter(|(names, _)| names.contains(&name.as_str()));
    others.flat_map(|(_, variables)| variables.iter()).for_each(|variable| add(variable));
    if OF_AUTHORIZER.contains(&name.as_str()) {
        add(&format!("authorizer.{last}"));
    }
    let tail = |variable: &&&str| variable.rsplit('.').next().is_some_and(|tail| plain(tail) == name);
    let of_identity = |variable: &&&str| variable.starts_with("identity.") || !variable.contains('.');
    VARIABLES.iter().filter(of_identity).filter(tail).for_each(|variable| add(variable));
    found
}

/// Names of the columns of `origin_requests`, the likeliest first; beside them those that `edge_requests` has too.
const COLUMNS: &[(&str, &[&str])] = &[
    (
        "request_id",
        &[
            "requestid",
            "reqid",
            "xrequestid",
            "awsrequestid",
            "edgerequestid",
            "xedgerequestid",
            "correlationid",
            "eventid",
            "id",
            "uuid",
            "traceid",
        ],
    ),
    (
        "event_time",
        &[
            "eventtime",
            "requesttime",
            "timestamp",
            "time",
            "datetime",
            "ts",
            "at",
            "starttime",
            "requesttimeepoch",
            "timestampms",
            "epoch",
            "date",
        ],
    ),
    ("method", &["method", "httpmethod", "requestmethod", "verb"]),
    ("route", &["route", "routekey", "resourcepath", "resource", "routename", "endpoint"]),
    ("path", &["path", "rawpath", "uri", "requesturi", "url", "urlpath", "requestpath"]),
    ("status", &["status", "statuscode", "httpstatus", "httpstatuscode", "responsestatus", "scstatus"]),
    (
        "response_bytes",
        &[
            "responsebytes",
            "responselength",
            "responsesize",
            "bytessent",
            "bodybytessent",
            "bytes",
            "contentlength",
            "scbytes",
        ],
    ),
    ("latency_ms", &["latencyms", "durationms", "responsetimems", "elapsedms", "tookms", "responselatency"]),
    ("client_ip", &["clientip", "sourceip", "remoteip", "remoteaddr", "ip", "viewerip", "cip"]),
    ("user_agent", &["useragent", "ua", "agent"]),
    ("protocol", &["protocol", "httpversion"]),
    ("domain", &["domain", "domainname", "host", "hostname"]),
    ("stage", &["stage", "environment", "env"]),
    ("api_id", &["apiid"]),
    ("account", &["awsaccountid", "accountid"]),
    ("region", &["region", "awsregion"]),
    ("error_type", &["errortype", "errorcode"]),
    ("subject", &["subject", "sub", "principalid", "userid"]),
    ("edge_request_id", &["cfid", "xamzcfid", "cloudfrontid"]),
];

/// What only `edge_requests` has, or has under another name.
const EDGE_COLUMNS: &[(&str, &[&str])] = &[
    ("host", &["host", "hostname", "domain"]),
    ("query", &["query", "querystring", "rawquery", "rawquerystring"]),
    ("edge_location", &["edgelocation", "pop", "location", "xedgelocation"]),
    ("result_type", &["resulttype", "xedgeresulttype", "cachestatus"]),
    ("country", &["country", "countrycode", "viewercountry", "ccountry"]),
    ("referer", &["referer", "referrer"]),
    ("request_bytes", &["requestbytes", "bytesreceived", "requestsize", "csbytes"]),
    ("time_taken_ms", &["latencyms", "durationms", "timetakenms", "elapsedms", "tookms"]),
    ("distribution", &["distribution", "distributiondomain", "distributiondomainname", "distributionid"]),
    ("asn", &["asn", "vieweasn", "viewerasn"]),
];

/// What only `origin_requests` has.
const ORIGIN_ONLY: &[&str] = &[
    "route",
    "latency_ms",
    "domain",
    "stage",
    "api_id",
    "account",
    "region",
    "error_type",
    "subject",
    "edge_request_id",
];

/// Columns with the names their values go by, likeliest first.
pub(super) fn columns(edge: bool) -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    let common = COLUMNS.iter().filter(move |(column, _)| !edge || !ORIGIN_ONLY.contains(column));
    let more: &[_] = if edge { EDGE_COLUMNS } else { &[] };
    common.chain(more).map(|(column, names)| (*column, *names))
}

/// Whether a name is that of something only CloudFront has.
pub(super) fn is_of_edge(name: &str) -> bool {
    const NAMES: [&str; 12] = [
        "edgelocation",
        "pop",
        "xedgelocation",
        "xedgerequestid",
        "edgerequestid",
        "xedgeresulttype",
        "distribution",
        "distributiondomain",
        "distributiondomainname",
        "distributionid",
        "cloudfrontrequestid",
        "viewercountry",
    ];
    NAMES.contains(&plain(name).as_str())
}

/// Names under which callers' keys are written, likeliest first; with whether such a value is an id and no secret.
pub(super) const KEYS: [(&str, bool); 14] = [
    ("apikeyid", true),
    ("keyid", true),
    ("apikey", false),
    ("xapikey", false),
    ("accesskey", false),
    ("key", false),
    ("customerid", true),
    ("customer", true),
    ("tenantid", true),
    ("tenant", true),
    ("clientid", true),
    ("accountref", true),
    ("orgid", true),
    ("token", false),
];

/// Whether a key, header or parameter of that name holds what nobody else should read.
pub(super) fn is_secret(name: &str) -> bool {
    const NAMES: [&str; 21] = [
        "authorization",
        "proxyauthorization",
        "cookie",
        "setcookie",
        "password",
        "passwd",
        "secret",
        "clientsecret",
        "token",
        "accesstoken",
        "idtoken",
        "refreshtoken",
        "sessiontoken",
        "jwt",
        "bearer",
        "signature",
        "xamzsignature",
        "xamzsecuritytoken",
        "apikey",
        "xapikey",
        "accesskey",
    ];
    NAMES.contains(&plain(name).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(path: &[&str]) -> Option<String> {
        variables(&path.iter().map(|&key| key.to_owned()).collect::<Vec<_>>()).first().cloned()
    }

    #[test]
    fn keys_lead_to_their_variables() {
        for (path, variable) in [
            (&["requestId"][..], "requestId"),
            (&["request_time_epoch"], "requestTimeEpoch"),
            (&["ip"], "identity.sourceIp"),
            (&["client_ip"], "identity.sourceIp"),
            (&["user_agent"], "identity.userAgent"),
            (&["api_key_id"], "identity.apiKeyId"),
            (&["api_key"], "identity.apiKey"),
            (&["user"], "identity.user"),
            (&["identity", "account_id"], "identity.accountId"),
            (&["account_id"], "accountId"),
            (&["identity", "client_cert", "subject_dn"], "identity.clientCert.subjectDN"),
            (&["authorize_status"], "authorize.status"),
            (&["authorizer_request_id"], "authorizer.requestId"),
            (&["authorizer", "customerId"], "authorizer.customerId"),
            (&["context", "status"], "status"),
            (&["waf_status_code"], "waf.status"),
            (&["response_type"], "error.responseType"),
            (&["customerId"], "authorizer.customerId"),
            (&["principal_id"], "authorizer.principalId"),
            (&["resource_path"], "resourcePath"),
        ] {
            assert_eq!(first(path).as_deref(), Some(variable), "{path:?}");
        }
        assert_eq!(first(&["api_usage_plan_name"]), None);
    }

    #[test]
    fn each_column_is_one_of_its_table() {
        use crate::schema::Table;
        for (edge, table) in [(false, Table::OriginRequests), (true, Table::EdgeRequests)] {
            let known: Vec<_> = table.columns().iter().map(|column| column.name).collect();
            assert!(columns(edge).all(|(column, _)| known.contains(&column)));
        }
    }
}
