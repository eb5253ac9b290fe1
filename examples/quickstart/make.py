#!/usr/bin/env python3
"""Writes the landing objects of this example, and keys.csv. Python's standard library only, nothing random.

What is in the data and what bill it must give is worked out in README.md. This script follows that scenario:
`CALLS` and `DOWNLOADS` say how many requests each customer makes in each burst, the functions below it add what goes wrong
in real life. Times are UTC; every burst lasts a quarter hour and becomes one object per source, as Firehose writes it.
"""

import base64
import gzip
import hashlib
import hmac
import json
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECRET = (HERE / "secret.txt").read_bytes().strip()

# The real-time log fields, in CloudFront's fixed order (the order in meterlake.toml does not matter).
FIELDS = """timestamp c-ip time-to-first-byte sc-status sc-bytes cs-method cs-protocol cs-host cs-uri-stem cs-bytes
x-edge-location x-edge-request-id x-host-header time-taken cs-protocol-version cs-user-agent cs-uri-query
x-edge-response-result-type ssl-protocol x-edge-result-type sc-content-type x-edge-detailed-result-type c-country
cache-behavior-path-pattern cs-headers cs-header-names cs-headers-count asn""".split()

# What a caller sends, and what API Gateway logs instead of it. All made up.
KEYS = {
    "acme-old": ("ACMEexampleKEYold000000001", "acme1old01"),
    "acme-new": ("ACMEexampleKEYnew000000002", "acme2new02"),
    "globex": ("GLOBEXexampleKEY0000000003", "globex0003"),
    "initech": ("INITECHexampleKEY000000004", "initech004"),
    "nobody": ("NOBODYexampleKEY0000000005", "nobody0005"),
}
ROTATION = "2026-10-31T14:05:00"  # from this instant on, acme uses its new key

ITEMS, ITEM, COMPLETIONS = "/v1/items", "/v1/items/{id}", "/v1/completions"
# Calls per burst: morning, afternoon, last minutes before midnight, first minutes after it.
CALLS = {
    "morning": {"acme": {ITEMS: 12, ITEM: 8, COMPLETIONS: 3}, "globex": {ITEMS: 15, COMPLETIONS: 2}, "initech": {ITEM: 8}},
    "afternoon": {"acme": {ITEMS: 16, ITEM: 10, COMPLETIONS: 4}, "globex": {ITEMS: 20, COMPLETIONS: 3}, "initech": {ITEM: 8}},
    "before": {"acme": {ITEMS: 6, ITEM: 4, COMPLETIONS: 1}, "globex": {ITEMS: 5}, "initech": {ITEM: 4}},
    "after": {"acme": {ITEMS: 4, ITEM: 2, COMPLETIONS: 1}, "globex": {ITEMS: 5}, "initech": {ITEM: 4}},
    # The afternoon of the rotation, cut at the instant of the rotation.
    "old key": {"acme": {ITEMS: 6, ITEM: 4, COMPLETIONS: 1}, "globex": {ITEMS: 7, COMPLETIONS: 1}, "initech": {ITEM: 3}},
    "new key": {"acme": {ITEMS: 10, ITEM: 6, COMPLETIONS: 3}, "globex": {ITEMS: 13, COMPLETIONS: 2}, "initech": {ITEM: 5}},
}
DOWNLOADS = {
    "morning": {"acme": 6, "globex": 10, "initech": 4},
    "afternoon": {"acme": 8, "globex": 12, "initech": 4},
    "before": {"acme": 4, "globex": 4, "initech": 1},
    "after": {"acme": 2, "globex": 4, "initech": 1},
    "old key": {"acme": 3, "globex": 5, "initech": 2},
    "new key": {"acme": 5, "globex": 7, "initech": 2},
}
FILES = {"acme": ("report.pdf", 1_200_000, "Hit"), "globex": ("photo.jpg", 350_000, "Hit"), "initech": ("data.csv", 2_000_000, "Miss")}
WINDOWS = {
    "morning": ("09:00:00.000", "09:14:30.000"),
    "afternoon": ("14:00:00.000", "14:14:30.000"),
    "before": ("23:52:00.000", "23:59:59.999"),
    "after": ("00:00:00.000", "00:06:00.000"),
    "old key": ("14:00:00.000", "14:04:59.999"),
    "new key": ("14:05:00.000", "14:14:30.000"),
}
DAYS = ["2026-10-29", "2026-10-30", "2026-10-31", "2026-11-01", "2026-11-02"]


# Small helpers -------------------------------------------------------------------------------------------------


def instant(text):
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def millis(at):
    return int(at.timestamp()) * 1000 + at.microsecond // 1000


def spread(day, window, count):
    """`count` instants from the first to the last of the window, evenly."""
    first, last = (millis(instant(f"{day}T{text}")) for text in WINDOWS[window])
    steps = max(count - 1, 1)
    return [first + (last - first) * i // steps for i in range(count)]


def digest(label):
    return hashlib.sha256(label.encode()).digest()


def uuid(label):
    h = digest("uuid " + label).hex()
    return f"{h[:8]}-{h[8:12]}-4{h[13:16]}-a{h[17:20]}-{h[20:32]}"


def gz(data):
    return gzip.compress(data, 9, mtime=0)


def dealt(piles):
    """Deals from the piles in turn, so that customers and routes are mixed; the first pile gives first and last."""
    piles = [list(pile) for pile in piles]
    closing = piles[0].pop()
    out = []
    while any(piles):
        for pile in piles:
            if pile:
                out.append(pile.pop(0))
    return [*out, closing]


def key_of(customer, at):
    if customer == "acme":
        return "acme-old" if at < millis(instant(ROTATION)) else "acme-new"
    return customer


# Records -------------------------------------------------------------------------------------------------------


def call(at, key, route, method="GET", status=200, response_bytes=512, label="", caller_id=None):
    """One API Gateway access-log record, in the format of meterlake.toml. All values are strings, `-` is none."""
    tag = f"call {at} {key} {route} {status} {label}"
    path = route.replace("{id}", str(1000 + at % 97))
    moment = datetime.fromtimestamp(at / 1000, timezone.utc)
    return json.dumps(
        {
            "extendedRequestId": base64.b64encode(digest(tag)[:11]).decode(),
            "requestId": caller_id or uuid(tag),
            "requestTimeEpoch": str(at),
            "requestTime": moment.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "accountId": "111122223333",
            "apiId": "a1b2c3d4e5",
            "stage": "prod",
            "domainName": "api.example.com",
            "httpMethod": method,
            "resourcePath": route,
            "status": "-" if status is None else str(status),
            "protocol": "HTTP/1.1",
            "responseLength": str(response_bytes),
            "responseLatency": str(20 + at % 60),
            "integrationLatency": str(12 + at % 50),
            "apiKeyId": KEYS[key][1] if key else "-",
            "ip": f"203.0.113.{at % 250 + 1}",
            "path": "/prod" + path,
            "userAgent": "example-client/1.4",
        },
        separators=(",", ":"),
    )


def download(at, key, file, response_bytes, result, status=200, label="", headers=None, headers_logged=None):
    """One CloudFront real-time record. `headers_logged`: how many headers CloudFront kept of those that were sent."""
    tag = f"download {at} {key} {file} {status} {label}"
    if headers is None:
        headers = [("host", "files.example.com"), ("user-agent", "example-client/1.4"), ("accept", "*/*")]
        if key:
            headers.insert(2, ("x-api-key", KEYS[key][0]))
        if at % 5 == 0:  # where a CloudFront Function ran, names are logged like this
            headers = [("-".join(word.capitalize() for word in name.split("-")), value) for name, value in headers]
    kept = headers[:headers_logged]
    query = f"v={at % 7}" if at % 3 == 0 else "-"
    values = {
        "timestamp": f"{at // 1000}.{at % 1000:03}",
        "c-ip": f"198.51.100.{at % 250 + 1}" if at % 4 else f"2001:db8::{at % 9999:x}",
        "time-to-first-byte": f"0.{at % 90 + 10:03}",
        "sc-status": f"{status:03}",
        "sc-bytes": str(response_bytes),
        "cs-method": "GET",
        "cs-protocol": "https",
        "cs-host": "files.example.com",
        "cs-uri-stem": f"/v1/files/{file}" + (f"?{query}" if query != "-" else ""),
        "cs-bytes": str(300 + at % 100),
        "x-edge-location": ["FRA56-P4", "VIE50-P1", "SFO53-P9"][at % 3],
        "x-edge-request-id": base64.urlsafe_b64encode(digest(tag) + digest(tag)[:8]).decode(),
        "x-host-header": "d111111abcdef8.cloudfront.net",
        "time-taken": f"0.{at % 90 + 110:03}",
        "cs-protocol-version": "HTTP/2.0",
        "cs-user-agent": "example-client/1.4",
        "cs-uri-query": query,
        "x-edge-response-result-type": result,
        "ssl-protocol": "TLSv1.3",
        "x-edge-result-type": result,
        "sc-content-type": "application/octet-stream",
        "x-edge-detailed-result-type": result,
        "c-country": ["DE", "AT", "US"][at % 3],
        "cache-behavior-path-pattern": "/v1/files/*",
        "cs-headers": "".join(f"{name}:{encoded(value)}%0A" for name, value in kept),
        "cs-header-names": "".join(f"{name}%0A" for name, _ in headers),
        "cs-headers-count": str(len(headers)),
        "asn": str(64500 + at % 10),
    }
    assert list(values) == FIELDS
    return "\t".join(values.values()) + "\n"


def encoded(value):
    """CloudFront's encoding of a header value, as far as this example needs it."""
    return value.replace("%", "%25").replace(" ", "%20")


# A burst: what customers do, then what else comes in ----------------------------------------------------------------


def calls(day, window):
    wanted = CALLS[window]
    piles = [[(customer, route)] * n for customer, routes in wanted.items() for route, n in routes.items()]
    deck = dealt(piles)
    # A caller may choose the requestId of a REST API. One customer sends one and the same for a whole burst: eight
    # records with it and with eight extendedRequestIds are eight calls.
    chosen = "00000000-0000-4000-a000-000000000000" if (day, window) == ("2026-10-30", "afternoon") else None
    return [
        call(at, key_of(who, at), route, caller_id=chosen if who == "initech" else None)
        for at, (who, route) in zip(spread(day, window, len(deck)), deck)
    ]


def downloads(day, window):
    deck = dealt([[customer] * n for customer, n in DOWNLOADS[window].items()])
    return [download(at, key_of(who, at), *FILES[who]) for at, who in zip(spread(day, window, len(deck)), deck)]


def odd_calls(day, window):
    """Origin records that no customer pays for, or not yet."""

    def some(count, label, *args, **kwargs):
        return [call(at + 7, *args, label=label, **kwargs) for at in spread(day, window, count)]

    match day, window:
        case "2026-10-29", "morning":
            return some(3, "preflight", None, ITEMS, method="OPTIONS")
        case "2026-10-30", "morning":
            return some(4, "no key", None, ITEMS, status=403) + some(2, "no token", None, ITEM, status=401)
        case "2026-10-30", "afternoon":
            return some(4, "public", None, "/v1/status")
        case "2026-10-31", "morning":
            return some(5, "throttled", "acme-old", ITEMS, status=429)
        case "2026-10-31", "new key":
            return some(2, "old key after its end", "acme-old", ITEMS)
        case "2026-10-31", "before":
            return [call(at - 7, "globex", ITEMS, status=502, label="backend down") for at in spread(day, window, 4)]
        case "2026-11-01", "morning":
            return some(7, "key that nobody owns", "nobody", ITEMS)
        case "2026-11-01", "afternoon":
            return some(5, "preflight", None, ITEM, method="OPTIONS") + some(1, "no status", "acme-new", ITEM, status=None)
        case "2026-11-02", "morning":
            return some(5, "public", None, "/v1/status")
    return []


def odd_downloads(day, window):
    """Edge records that no customer pays for, or not yet; and one that names another customer's key."""
    at = spread(day, window, 1)[0] + 7
    victim = KEYS["acme-old"][0]
    spoof = ("x-note", f"a%0Ax-api-key:{victim}")  # as the caller sends it; the log then says `a%250Ax-api-key:…`
    match day, window:
        case "2026-10-30", "morning":
            padding = ("x-padding", "A" * 740)  # fills the 800 bytes that CloudFront keeps of the headers
            headers = [("host", "files.example.com"), padding, ("x-api-key", KEYS["globex"][0]), ("accept", "*/*")]
            return [download(at, "globex", "photo.jpg", 350_000, "Hit", label="cut", headers=headers, headers_logged=2)]
        case "2026-10-30", "afternoon":
            headers = [("host", "files.example.com"), ("x-api-key", "guess-%d"), ("accept", "*/*")]
            return [
                download(at + i, None, "photo.jpg", 900, "Error", 403, "guess", [(n, v.replace("%d", str(i))) for n, v in headers])
                for i in range(4)
            ]
        case "2026-10-31", "old key":
            headers = [("host", "files.example.com"), spoof, ("accept", "*/*")]
            return [download(at, None, "photo.jpg", 350_000, "Hit", label="spoof", headers=headers)]
        case "2026-11-01", "morning":
            return [download(at + i, "nobody", "photo.jpg", 350_000, "Miss") for i in range(5)]
        case "2026-11-01", "afternoon":
            return [download(at + i, "globex", "photo.jpg", 1_100, "Error", 502) for i in range(2)]
        case "2026-11-02", "morning":
            return [download(at + i, None, "public.txt", 2_000, "Hit") for i in range(3)]
    return []


# Objects -------------------------------------------------------------------------------------------------------------


def put(stream, version, arrived, data, suffix=""):
    """Writes an object under the name Firehose gives it: the arrival of its oldest record, in prefix and name."""
    folder = "cloudfront" if stream == "cf-realtime" else "apigateway"
    name = f"{stream}-{version}-{arrived:%Y-%m-%d-%H-%M-%S}-{uuid(f'{stream} {arrived}')}{suffix}"
    path = HERE / "landing" / folder / f"{arrived:%Y/%m/%d/%H}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def envelope(messages, kind="DATA_MESSAGE"):
    """What CloudWatch Logs sends to Firehose: a JSON document around some records, as one gzip member."""
    control = kind == "CONTROL_MESSAGE"
    events = []
    for message in messages:
        at = 1793264100000 if control else 250 + epoch_of(message)
        events.append({"id": str(int.from_bytes(digest(f"{at} {message}")[:23])).zfill(56), "timestamp": at, "message": message})
    return gz(
        json.dumps(
            {
                "messageType": kind,
                "owner": "CloudwatchLogs" if control else "111122223333",
                "logGroup": "" if control else "/apigw/prod",
                "logStream": "" if control else "0f1e2d3c4b5a",
                "subscriptionFilters": [] if control else ["to-firehose"],
                "logEvents": events,
            },
            separators=(",", ":"),
        ).encode()
    )


def epoch_of(message):
    return int(message.split('"requestTimeEpoch":"')[1].split('"')[0])


def envelopes(messages):
    return [envelope(messages[i : i + 20]) for i in range(0, len(messages), 20)]


def bursts(day):
    """The bursts of a day; the last one runs over midnight and so is two windows in one object."""
    following = DAYS[DAYS.index(day) + 1] if day != DAYS[-1] else None
    yield "morning", [(day, "morning")]
    yield "afternoon", [(day, "old key"), (day, "new key")] if day == ROTATION[:10] else [(day, "afternoon")]
    if following:
        yield "night", [(day, "before"), (following, "after")]


def origin_objects():
    put("apigw-access", 2, instant("2026-10-29T08:55:00"), envelope(
        ["CWL CONTROL MESSAGE: Checking health of destination Firehose."], "CONTROL_MESSAGE"))
    first_morning = calls("2026-10-29", "morning")
    for day in DAYS:
        for burst, windows in bursts(day):
            records = [r for window in windows for r in calls(*window) + odd_calls(*window)]
            arrived = instant(f"{windows[0][0]}T{WINDOWS[windows[0][1]][0]}") + timedelta(seconds=3)
            stream, version, suffix, between = "apigw-access", 2, "", b""
            match day, burst:
                case "2026-10-29", "afternoon":  # CloudWatch Logs delivers 15 records of the morning again
                    records += first_morning[:15]
                case "2026-10-30", "afternoon":  # same extendedRequestId, other bytes: one of the two is held
                    original = next(r for r in records if KEYS["globex"][1] in r)
                    records.append(original.replace('"responseLength":"512"', '"responseLength":"513"'))
                case "2026-10-31", "morning":  # a user agent that closes its string and sets another key
                    records.append(call(epoch_of(records[0]) + 11, "globex", ITEMS, label="injection").replace(
                        "example-client/1.4", f'x","apiKeyId":"{KEYS["acme-old"][1]}'))
                    between = b"\n"  # Firehose's "new line delimiter" comes between the gzip members
                case "2026-11-01", "morning":  # one record twice in one object
                    records.append(records[5])
                    suffix = ".gz"  # Firehose compressed what was compressed
                case "2026-11-02", "afternoon":  # API Gateway straight to Firehose: bare records, one of them cut
                    stream, version = "amazon-apigateway-access", 1
                    cut = call(epoch_of(records[0]) + 11, "globex", ITEMS, label="cut")
                    records.insert(10, cut[: len(cut) // 2])
            if stream == "amazon-apigateway-access":
                data = "".join(record + "\n" for record in records).encode()
            else:
                data = between.join(envelopes(records))
            put(stream, version, arrived, gz(data) if suffix else data, suffix)
    # Ten calls of 29 October come four days late, with five that had come in time.
    late = [call(at, "acme-old", ITEMS, label="late") for at in spread("2026-10-29", "afternoon", 10)]
    put("apigw-access", 2, instant("2026-11-02T10:20:00"), envelope(late + first_morning[20:25]))


def edge_objects():
    for day in DAYS:
        for burst, windows in bursts(day):
            records = [r for window in windows for r in downloads(*window) + odd_downloads(*window)]
            arrived = instant(f"{windows[0][0]}T{WINDOWS[windows[0][1]][0]}") + timedelta(seconds=1)
            match day, burst:
                case "2026-10-30", "afternoon":  # the whole object comes again under another name
                    put("cf-realtime", 3, arrived + timedelta(seconds=62), gz("".join(records).encode()), ".gz")
                case "2026-10-30", "night":  # two records run together: nobody can tell where one ends
                    at = spread("2026-10-30", "before", 1)[0] + 9
                    lost = [download(at + i, "globex", *FILES["globex"], label="run together") for i in range(2)]
                    records.insert(4, lost[0].rstrip("\n") + lost[1])
                case "2026-10-31", "morning":  # a customer's own key beside a header that names another's
                    at = next(i for i, r in enumerate(records) if KEYS["globex"][0] in r)
                    note = f"x-note:a%250Ax-api-key:{KEYS['acme-old'][0]}%0A"
                    columns = records[at].split("\t")
                    columns[-4] = note + columns[-4]
                    columns[-3] = "x-note%0A" + columns[-3]
                    columns[-2] = str(int(columns[-2]) + 1)
                    records[at] = "\t".join(columns)
                case "2026-11-01", "morning":  # Kinesis gives six records of the night again
                    records += downloads("2026-10-31", "before")[:6]
                case "2026-11-01", "night":  # a line cut in half
                    at = spread("2026-11-01", "before", 1)[0] + 9
                    cut = download(at, "globex", *FILES["globex"], label="cut line").split("\t")
                    records.insert(4, "\t".join(cut[:13]) + "\n")
            put("cf-realtime", 3, arrived, gz("".join(records).encode()), ".gz")


def keys_file():
    """keys.csv holds no key: the id that API Gateway logs, and the keyed hash that meterlake stores for the edge."""
    rotation = ROTATION + "Z"
    rows = [
        ("acme", "acme-old", "first key", "2026-01-01", rotation),
        ("acme", "acme-new", "second key", rotation, ""),
        ("globex", "globex", "production", "2026-01-01", ""),
        ("initech", "initech", "production", "2026-01-01", ""),
    ]
    lines = ["customer_id,api_key_id,key_fingerprint,label,valid_from,valid_to"]
    for customer, key, label, valid_from, valid_to in rows:
        raw, api_key_id = KEYS[key]
        fingerprint = hmac.new(SECRET, raw.encode(), hashlib.sha256).hexdigest()[:32]
        lines.append(f"{customer},{api_key_id},{fingerprint},{label},{valid_from},{valid_to}")
    (HERE / "keys.csv").write_text("\n".join(lines) + "\n")


shutil.rmtree(HERE / "landing", ignore_errors=True)
keys_file()
origin_objects()
edge_objects()
