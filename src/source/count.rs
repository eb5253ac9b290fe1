//! Who counts a source's requests besides its logs. AWS counts each request once, in metrics that neither pass through the
//! logs nor through their delivery; so a hole in the logs shows as a difference.

use std::fmt;

/// More requests in an hour than this are no count: CloudWatch tells numbers that are exact up to here.
pub const REQUESTS_MAX: i64 = 1 << 53;

/// A metric that counts requests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CountMetric {
    /// `Count` of a REST API's stage.
    RestApi {
        /// The API's name: REST APIs are counted under it.
        name: String,
        /// The stage.
        stage: String,
        /// The API's region; none: that of the environment.
        region: Option<String>,
    },
    /// `Count` of an HTTP API's stage.
    HttpApi {
        /// The API's id.
        id: String,
        /// The stage, also `$default`.
        stage: String,
        /// The API's region; none: that of the environment.
        region: Option<String>,
    },
    /// `Requests` of a CloudFront distribution.
    Distribution {
        /// Its id.
        id: String,
    },
}

impl fmt::Display for CountMetric {
    /// As a person would look for it in CloudWatch.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RestApi { name, stage, .. } => write!(f, "AWS/ApiGateway Count (ApiName={name}, Stage={stage})"),
            Self::HttpApi { id, stage, .. } => write!(f, "AWS/ApiGateway Count (ApiId={id}, Stage={stage})"),
            Self::Distribution { id } => write!(f, "AWS/CloudFront Requests (DistributionId={id}, Region=Global)"),
        }
    }
}
