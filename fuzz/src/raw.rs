//! Inputs that are objects as they come: a digit chooses the source, one the chunks, the rest is the object.

use crate::decode::DecodePlan;

use crate::input::Input;
use crate::object::check;
use crate::plans::{JSONS, OWNS, REALTIME, STANDARDS, TEXTS};

fn object(plans: &[DecodePlan], data: &[u8]) {
    let mut input = Input(data);
    let plan = &plans[input.choose(plans.len())];
    let chunk = input.choose(5);
    check(plan, input.0, chunk);
}

/// Lines of CloudFront real-time logs.
pub(crate) fn realtime(data: &[u8]) {
    object(&REALTIME, data);
}

/// CloudFront standard logs of both versions: header lines, rows, JSON, Parquet.
pub(crate) fn standard(data: &[u8]) {
    object(&STANDARDS, data);
}

/// Parquet objects: what does not begin as one is made to.
pub(crate) fn parquet(data: &[u8]) {
    let mut object = data.to_vec();
    object.splice(..object.len().min(4), *b"PAR1");
    check(&STANDARDS[0], &object, 4);
}

/// API Gateway logs in JSON, bare, in envelopes and in Firehose's error records.
pub(crate) fn json(data: &[u8]) {
    object(&JSONS, data);
}

/// API Gateway logs in any other format.
pub(crate) fn text(data: &[u8]) {
    object(&TEXTS, data);
}

/// JSON of one's own.
pub(crate) fn own(data: &[u8]) {
    object(&OWNS, data);
}
