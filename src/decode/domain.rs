//! What the values of a `$context` variable can look like. A format without quotes or escapes can only be taken apart by
//! knowing what can *not* stand in a value; so each domain here holds everything API Gateway can write for the variable,
//! and a variable whose value a caller, a backend or an authorizer chooses is in [`Domain::Any`], whatever it holds in
//! honest records. Too wide a domain costs a reject, too narrow a one would read a record wrong.

/// The values a variable can have besides `-`, which is what a value that is not there looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Domain {
    /// Digits.
    Number,
    /// A name or short id: letters, digits and `_ $ -`.
    Name,
    /// An id or version made by API Gateway: the same and `. = + /`.
    Id,
    /// An IPv4 or IPv6 address.
    Address,
    /// A host name.
    Host,
    /// `24/Nov/2025:16:00:00 +0000`.
    Time,
    /// A token as HTTP defines it.
    Method,
    /// `HTTP/1.1`.
    Protocol,
    /// `GET /items/{id}`, `$default`, or the one word of a WebSocket route.
    Route,
    /// `/items/{id}`.
    Resource,
    /// An IAM principal: no blanks, quotes or angle brackets.
    Principal,
    /// Anything.
    Any,
}

/// Bytes that stand in most paths and user agents of honest callers.
fn is_common(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b' ' | b',' | b';' | b':' | b'/' | b'.' | b'=' | b'_' | b'+')
        || matches!(byte, b'(' | b')' | b'&' | b'?' | b'%' | b'-')
}

/// Whether honest values hold such a text now and then, so that it separates nothing.
pub(super) fn is_commonplace(separator: &[u8]) -> bool {
    separator.len() <= 2 && separator.iter().all(|&byte| is_common(byte))
}

impl Domain {
    /// The domain of a variable, by its name without `$context.`.
    pub(super) fn of(name: &str) -> Self {
        match name {
            "accountId"
            | "authenticate.latency"
            | "authenticate.status"
            | "authorize.latency"
            | "authorize.status"
            | "authorizer.integrationLatency"
            | "authorizer.integrationStatus"
            | "authorizer.latency"
            | "authorizer.status"
            | "connectedAt"
            | "dataProcessed"
            | "integration.integrationStatus"
            | "integration.latency"
            | "integration.status"
            | "integrationLatency"
            | "integrationStatus"
            | "requestTimeEpoch"
            | "responseLatency"
            | "responseLength"
            | "status"
            | "waf.latency"
            | "waf.status" => Self::Number,
            "apiId" | "deploymentId" | "endpointType" | "eventType" | "identity.apiKeyId" | "isCanaryRequest"
            | "messageDirection" | "resourceId" | "stage" | "wafResponseCode" => Self::Name,
            "cipherSuite" | "connectionId" | "extendedRequestId" | "messageId" | "requestId" | "tlsVersion" => Self::Id,
            "identity.sourceIp" => Self::Address,
            "domainName" | "domainPrefix" => Self::Host,
            "requestTime" => Self::Time,
            "httpMethod" => Self::Method,
            "protocol" => Self::Protocol,
            "routeKey" => Self::Route,
            "resourcePath" => Self::Resource,
            "identity.accountId"
            | "identity.caller"
            | "identity.principalOrgId"
            | "identity.user"
            | "identity.userArn" => Self::Principal,
            _ => Self::Any,
        }
    }

    /// Whether a value can hold the byte.
    pub(super) fn holds(self, byte: u8) -> bool {
        let plain = byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>');
        byte == b'-'
            || match self {
                Self::Number => byte.is_ascii_digit(),
                Self::Name => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$'),
                Self::Id | Self::Protocol => {
                    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'=' | b'+' | b'/' | b'$')
                }
                Self::Address => byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':'),
                Self::Host => byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'*' | b':'),
                Self::Time => byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b':' | b'+' | b' '),
                Self::Method => {
                    byte.is_ascii_alphanumeric()
                        || matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'.')
                        || matches!(byte, b'^' | b'_' | b'`' | b'|' | b'~')
                }
                Self::Route => plain || byte == b' ',
                Self::Resource | Self::Principal => plain,
                Self::Any => true,
            }
    }

    /// Whether this is a value. All of its bytes are known to be [held](Self::holds).
    pub(super) fn is_value(self, value: &[u8]) -> bool {
        value == b"-"
            || match self {
                Self::Number => !value.is_empty() && value.iter().all(u8::is_ascii_digit),
                Self::Name | Self::Id | Self::Address | Self::Host | Self::Method | Self::Principal => {
                    !value.is_empty()
                }
                Self::Time => is_time(value),
                Self::Protocol => memchr::memchr(b'/', value).is_some_and(|at| at > 0),
                Self::Route => is_route(value),
                Self::Resource => value.first() == Some(&b'/'),
                Self::Any => true,
            }
    }

    /// Whether a value can hold the separator within itself, so that the two cannot be told apart.
    pub(super) fn may_hold(self, separator: &[u8]) -> bool {
        match self {
            // Its shape is fixed: no part of it can be taken for its neighbour's.
            Self::Time => false,
            Self::Number => separator.iter().all(u8::is_ascii_digit),
            _ => separator.iter().all(|&byte| self.holds(byte)),
        }
    }
}

fn is_time(value: &[u8]) -> bool {
    const SHAPE: &[u8] = b"00/Aaa/0000:00:00:00 +0000";
    value.len() == SHAPE.len()
        && value.iter().zip(SHAPE).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            b'A' | b'a' => byte.is_ascii_alphabetic(),
            b'+' => matches!(byte, b'+' | b'-'),
            fixed => byte == fixed,
        })
}

fn is_route(value: &[u8]) -> bool {
    match memchr::memchr(b' ', value) {
        None => value.first().is_some_and(|&first| first != b'/'),
        Some(at) => at > 0 && value.get(at + 1) == Some(&b'/') && memchr::memchr(b' ', &value[at + 1..]).is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(domain: Domain, value: &str) -> bool {
        value.bytes().all(|byte| domain.holds(byte)) && domain.is_value(value.as_bytes())
    }

    #[test]
    fn values_that_are_not_there_are_dashes_everywhere() {
        for name in ["status", "requestId", "identity.sourceIp", "domainName", "requestTime", "httpMethod", "protocol"]
        {
            assert!(takes(Domain::of(name), "-"), "{name}");
            assert!(!takes(Domain::of(name), ""), "{name}");
        }
        for name in ["routeKey", "resourcePath", "identity.user", "path"] {
            assert!(takes(Domain::of(name), "-"), "{name}");
        }
    }

    #[test]
    fn what_api_gateway_writes_is_in_its_domain() {
        for (name, value) in [
            ("status", "200"),
            ("requestId", "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"),
            ("requestId", "c6af9ac6-7b61-11e6-9a41-93e8deadbeef_REPLACED_INVALID_REQUEST_ID"),
            ("extendedRequestId", "BkJdhGC0yK4FcBA="),
            ("stage", "$default"),
            ("identity.sourceIp", "2001:db8::ff00:42:8329"),
            ("requestTime", "09/Jun/2023:12:54:08 +0000"),
            ("httpMethod", "M-SEARCH"),
            ("protocol", "HTTP/1.1"),
            ("routeKey", "GET /items/{id}"),
            ("routeKey", "$default"),
            ("routeKey", "sendMessage"),
            ("resourcePath", "/{proxy+}"),
            ("identity.user", "AROAEXAMPLE:o'hara,x@example.com"),
            ("identity.userAgent", "\"'<,\n\u{e9}"),
        ] {
            assert!(takes(Domain::of(name), value), "{name} {value}");
        }
        for (name, value) in [
            ("status", "2 00"),
            ("requestTime", "09/Jun/2023:12:54:08"),
            ("routeKey", "/items"),
            ("routeKey", "GET /a b"),
            ("resourcePath", "items"),
            ("protocol", "200"),
        ] {
            assert!(!takes(Domain::of(name), value), "{name} {value}");
        }
    }

    #[test]
    fn what_callers_and_backends_choose_can_be_anything() {
        for name in
            ["path", "identity.userAgent", "error.message", "authorizer.customerId", "awsEndpointRequestId", "new"]
        {
            assert_eq!(Domain::of(name), Domain::Any, "{name}");
        }
    }
}
