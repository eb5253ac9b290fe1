// CloudFront Function, viewer-request, JavaScript runtime 2.0: lets the edge log say whose request it was.
//
// In:  the header `x-api-key`. Out: the query parameter `cf_api_key` for the origin, and `v1;k=…` for the log field
// `viewer-request-log-data`. The log gets the keyed hash of the key, as meterlake stores it in `key_ref`, never the key:
//   key = { log_data = "k", plain = true }
// A viewer's own `cf_api_key` is taken out, however it is spelled. No request is refused here: that is the origin's.
//
// What is logged: `v1` no key; `v1;k=<32 hex digits>` one; `v1;k=<a>;k=<b>` different ones, which meterlake holds;
// `v1;k=no-secret` the secret could not be read: a key that nobody owns, so the usage is held and not given away.
import cf from 'cloudfront';
const crypto = require('crypto');

const HEADER = 'x-api-key';
const PARAMETER = 'cf_api_key';
// Entry of the function's KeyValueStore: the newest secret of `[privacy] key_secret`, the same bytes, as text.
const SECRET = 'key_secret';
// What is handed on to the origin: visible ASCII, and no longer than this.
const KEY = /^[!-~]{1,256}$/;
// A name may have been encoded more than once to get past.
const DECODINGS = 3;

// Every value of the header, without the white space around it; equal ones and empty ones once or not at all.
function keysOf(header) {
    if (!header) {
        return [];
    }
    const values = header.multiValue || [header];
    return values
        .map((entry) => entry.value.replace(/^[\t\n\f\r ]+|[\t\n\f\r ]+$/g, ''))
        .filter((key, place, all) => key !== '' && all.indexOf(key) === place);
}

// Only ASCII matters for the comparison, so a malformed or other escape stays as it is.
function decodedOnce(name) {
    return name
        .replace(/\+/g, ' ')
        .replace(/%([0-7][0-9a-fA-F])/g, (_, digits) => String.fromCharCode(parseInt(digits, 16)));
}

function isParameter(name) {
    let plain = name;
    for (let turn = 0; turn <= DECODINGS; turn++) {
        if (plain.trim().toLowerCase() === PARAMETER) {
            return true;
        }
        plain = decodedOnce(plain);
    }
    return false;
}

function removeParameter(querystring) {
    Object.keys(querystring).filter(isParameter).forEach((name) => {
        delete querystring[name];
    });
}

// Two that differ say all there is to say, and fit into the field.
function tokensOf(secret, keys) {
    if (!secret) {
        throw new Error('the secret is empty');
    }
    return keys
        .slice(0, 2)
        .map((key) => ';k=' + crypto.createHmac('sha256', secret).update(key).digest('hex').slice(0, 32))
        .join('');
}

// The runtime knows neither functions inside an async one nor `await` within an argument: njs crashes on the latter.
async function handler(event) {
    const request = event.request;
    removeParameter(request.querystring);

    const keys = keysOf(request.headers[HEADER]);
    if (keys.length === 1 && KEY.test(keys[0])) {
        request.querystring[PARAMETER] = { value: encodeURIComponent(keys[0]) };
    }

    let logged = 'v1';
    if (keys.length > 0) {
        try {
            const secret = await cf.kvs().get(SECRET);
            logged += tokensOf(secret, keys);
        } catch (error) {
            logged += ';k=no-secret';
            console.log('meterlake: no ' + SECRET + ' in the KeyValueStore');
        }
    }
    cf.logCustomData(logged);
    return request;
}
