//! API Gateway access-log records as CloudWatch Logs subscriptions deliver them: envelopes of up to 100 log events, each
//! envelope a gzip member of its own, one after another in the landing object.

use fastrand::Rng;

use crate::landing::{Kind, Writer};
use crate::world::{Request, base64, key_id, skewed, uuid};

/// The access-log format of the stage.
pub const FORMAT: &str = r#"{"extendedRequestId":"$context.extendedRequestId","requestId":"$context.requestId","requestTimeEpoch":"$context.requestTimeEpoch","requestTime":"$context.requestTime","accountId":"$context.accountId","apiId":"$context.apiId","stage":"$context.stage","domainName":"$context.domainName","httpMethod":"$context.httpMethod","resourcePath":"$context.resourcePath","status":"$context.status","protocol":"$context.protocol","responseLength":"$context.responseLength","responseLatency":"$context.responseLatency","integrationLatency":"$context.integrationLatency","apiKeyId":"$context.identity.apiKeyId","ip":"$context.identity.sourceIp","path":"$context.path","userAgent":"$context.identity.userAgent"}"#;

const ENVELOPE_RECORDS: usize = 100;

/// API Gateway access logs.
pub(crate) struct Origin;

impl Kind for Origin {
    const NAME: &str = "origin";
    const FOLDER: &str = "landing/apigateway";

    fn record(rng: &mut Rng, customers: u64, at_ms: i64) -> String {
        let request = Request::draw(rng, customers);
        let at = chrono::DateTime::from_timestamp_millis(at_ms).expect("a time of the generator's own");
        let key = if rng.u32(0..100) > 0 { key_id(request.customer) } else { "-".to_owned() };
        format!(
            r#"{{"extendedRequestId":"{}=","requestId":"{}","requestTimeEpoch":"{at_ms}","requestTime":"{}","accountId":"111122223333","apiId":"a1b2c3d4e5","stage":"prod","domainName":"api.example.com","httpMethod":"{}","resourcePath":"{}","status":"{}","protocol":"HTTP/1.1","responseLength":"{}","responseLatency":"{}","integrationLatency":"{}","apiKeyId":"{key}","ip":"{}","path":"/prod{}","userAgent":"{}"}}"#,
            base64(rng, 15),
            uuid(rng),
            at.format("%d/%b/%Y:%H:%M:%S +0000"),
            request.method,
            request.route,
            request.status,
            request.response_bytes,
            request.latency_ms + skewed(rng, 10),
            request.latency_ms,
            request.client_ip,
            request.path,
            request.user_agent,
        )
    }

    fn put(records: &[String], out: &mut Writer, rng: &mut Rng) -> std::io::Result<()> {
        let mut id: u128 = rng.u128(..) >> 2;
        for records in records.chunks(ENVELOPE_RECORDS) {
            out.write(
                br#"{"messageType":"DATA_MESSAGE","owner":"111122223333","logGroup":"/apigw/prod","logStream":"0f1e2d3c4b5a","subscriptionFilters":["to-firehose"],"logEvents":["#,
            )?;
            for (number, record) in records.iter().enumerate() {
                id += u128::from(rng.u64(1..1 << 40));
                let comma = if number > 0 { "," } else { "" };
                let at: &str = record
                    .split_once(r#""requestTimeEpoch":""#)
                    .map_or("0", |(_, rest)| rest.split_once('"').map_or("0", |(at, _)| at));
                let message = record.replace('"', "\\\"");
                out.write(format!(r#"{comma}{{"id":"{id:056}","timestamp":{at},"message":"{message}"}}"#).as_bytes())?;
            }
            out.write(b"]}")?;
            out.end_member()?;
        }
        Ok(())
    }
}
