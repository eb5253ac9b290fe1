//! What objects come packed in, told by their bytes; what is made to be large; and what Firehose could not deliver.

use std::io::{Cursor, Read as _};

use super::*;

/// A zip archive as Java writes it: deflated, sizes and CRC behind each entry.
fn zip(entries: &[&[u8]], described: bool) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(entry).unwrap();
        let packed = encoder.finish().unwrap();
        let mut crc = flate2::Crc::new();
        crc.update(entry);
        let sizes = [crc.sum(), packed.len() as u32, entry.len() as u32].map(u32::to_le_bytes).concat();
        let told = if described { vec![0; 12] } else { sizes.clone() };
        let flags = [if described { 8 } else { 0 }, 0];
        let offset = out.len() as u32;
        out.extend(
            [&b"PK\x03\x04\x14\x00"[..], &flags, b"\x08\x00\0\0\0\0", &told, b"\x01\x00\x04\x00e\x99\x99\x00\x00"]
                .concat(),
        );
        out.extend(packed);
        if described {
            out.extend([b"PK\x07\x08", &sizes[..]].concat());
        }
        directory.extend(
            [
                &b"PK\x01\x02\x14\x00\x14\x00"[..],
                &flags,
                b"\x08\x00\0\0\0\0",
                &sizes,
                b"\x01\x00\0\0\0\0\0\0\0\0\0\0\0\0",
            ]
            .concat(),
        );
        directory.extend([&offset.to_le_bytes()[..], b"e"].concat());
    }
    let (count, at, length) = (entries.len() as u16, out.len() as u32, directory.len() as u32);
    out.extend(directory);
    out.extend(
        [
            &b"PK\x05\x06\0\0\0\0"[..],
            &count.to_le_bytes(),
            &count.to_le_bytes(),
            &length.to_le_bytes(),
            &at.to_le_bytes(),
            b"\x02\x00ok",
        ]
        .concat(),
    );
    out
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = snap::write::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.into_inner().unwrap()
}

/// Blocks of so many plain bytes, as Hadoop writes them, each in parts.
fn hadoop(bytes: &[u8], block: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for block in bytes.chunks(block) {
        out.extend((block.len() as u32).to_be_bytes());
        for part in block.chunks(block.len().div_ceil(2)) {
            let packed = snap::raw::Encoder::new().compress_vec(part).unwrap();
            out.extend([&(packed.len() as u32).to_be_bytes()[..], &packed].concat());
        }
    }
    out
}

fn java(bytes: &[u8]) -> Vec<u8> {
    let mut out = b"\x82SNAPPY\x00\0\0\0\x01\0\0\0\x01".to_vec();
    for part in bytes.chunks(1 << 15) {
        let packed = snap::raw::Encoder::new().compress_vec(part).unwrap();
        out.extend([&(packed.len() as u32).to_be_bytes()[..], &packed].concat());
    }
    out
}

fn zstandard(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 3).unwrap()
}

/// Every way to pack the same bytes.
fn packed(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let half = bytes.len() / 2;
    let skippable = [&[0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc", &zstandard(bytes)].concat();
    vec![
        ("gzip", gzip(bytes)),
        ("zlib", zlib(bytes)),
        ("zlib, two streams", [zlib(&bytes[..half]), zlib(&bytes[half..])].join(&b'\n')),
        ("zip", zip(&[bytes], true)),
        ("zip, two entries", zip(&[&bytes[..half], &bytes[half..]], false)),
        ("snappy", framed(bytes)),
        ("snappy, two streams", [framed(&bytes[..half]), framed(&bytes[half..])].concat()),
        ("snappy of Hadoop", hadoop(bytes, 1 << 18)),
        ("snappy of Hadoop, small blocks", hadoop(bytes, 1000)),
        ("snappy of Java", java(bytes)),
        ("zstd", zstandard(bytes)),
        ("zstd, two frames", [zstandard(&bytes[..half]), zstandard(&bytes[half..])].concat()),
        ("zstd behind what is passed over", skippable),
        ("gzip in zstd", zstandard(&gzip(bytes))),
        ("zstd in zip", zip(&[&zstandard(bytes)], true)),
        // Every block takes many pieces, and gives nothing before it is whole.
        ("zstd in snappy of Hadoop", hadoop(&zstandard(bytes), 1000)),
    ]
}

fn many() -> Vec<u8> {
    (0..900).map(|id| access(&format!("id{id}x{}", id * 7919)) + "\n").collect::<String>().into_bytes()
}

#[test]
fn every_packing_gives_the_same_records_in_any_chunks() {
    let plain = read(&rest(), many());
    assert_eq!(plain.counts.events, 900);
    for (name, object) in packed(&many()) {
        assert_eq!(read(&rest(), &object), plain, "{name}");
        for size in [1, 7, 4093] {
            assert_eq!(read_chunks(&rest(), object.chunks(size)).unwrap().counts, plain.counts, "{name} by {size}");
        }
    }
    assert_eq!(read(&edge(KeySpec::None), zip(&[line(&[]).as_bytes()], true)).counts.events, 1);
}

#[test]
fn a_packed_object_that_was_cut_or_damaged_fails_whole() {
    for (name, object) in packed(&many()) {
        // Formats of blocks do not say how long they are: one that ends after a block is whole.
        let by_blocks = name.contains("snappy");
        for kept in [object.len() - 1, object.len() / 2, object.len() / 3] {
            let result = try_read(&rest(), &object[..kept]);
            if !by_blocks || kept == object.len() - 1 {
                assert_eq!(result, Err(ObjectError::Truncated), "{name}, {kept} bytes of {}", object.len());
            }
        }
        let mut damaged = object.clone();
        let at = object.len() / 2;
        damaged[at..at + 8].iter_mut().for_each(|byte| *byte ^= 0x55);
        // Blocks of Hadoop and Java and these zstd frames have no checksum: damage may unpack to something else, and then the records are rejects.
        match try_read(&rest(), &damaged) {
            Ok(read) => {
                assert!(["Hadoop", "Java", "zstd"].iter().any(|kind| name.contains(kind)), "{name}: {:?}", read.counts)
            }
            Err(error) => assert!(
                matches!(
                    error,
                    ObjectError::Corrupt { .. }
                        | ObjectError::TrailingGarbage { .. }
                        | ObjectError::Truncated
                        | ObjectError::Unsupported { .. }
                ),
                "{name}: {error}"
            ),
        }
        if !by_blocks {
            assert!(
                matches!(try_read(&rest(), [&object[..], b"more"].concat()), Err(ObjectError::TrailingGarbage { .. })),
                "{name}"
            );
        }
    }
}

#[test]
fn a_zip_archive_that_is_not_what_it_says_is_refused() {
    let whole = zip(&[b"a", b"b"], true);
    let second = memchr::memmem::rfind(&whole, b"PK\x01\x02").unwrap();
    let end = memchr::memmem::rfind(&whole, b"PK\x05\x06").unwrap();
    // An entry that the directory does not list.
    let unlisted = [&whole[..second], &whole[end..]].concat();
    assert!(matches!(try_read(&rest(), unlisted), Err(ObjectError::Corrupt { .. })));
    let mut encrypted = whole.clone();
    encrypted[6] |= 1;
    let told = try_read(&rest(), encrypted).unwrap_err().to_string();
    assert!(told.contains("encrypted"), "{told}");
    let mut method = whole;
    method[8] = 12;
    assert!(matches!(try_read(&rest(), method), Err(ObjectError::Unsupported { .. })));
}

/// The same bytes over and over.
struct Again {
    member: Vec<u8>,
    at: usize,
    left: u64,
}

impl std::io::Read for Again {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            return Ok(0);
        }
        let count = (&self.member[self.at..]).read(out)?;
        self.at += count;
        if self.at == self.member.len() {
            (self.at, self.left) = (0, self.left - 1);
        }
        Ok(count)
    }
}

/// Feeds an object to a decoder piece by piece and gives how it failed.
fn endless(limits: &Limits, mut object: impl std::io::Read) -> ObjectError {
    let fields: Vec<_> = EDGE.iter().map(|(name, _)| *name).collect();
    let plan = plan_of(Format::CloudFrontRealtime(vec![set(None, &fields)]), KeySpec::None, limits).unwrap();
    let mut decoder = Decoder::new(&plan, "bomb", arrived());
    let mut piece = vec![0; 64 << 10];
    loop {
        let count = object.read(&mut piece).unwrap();
        let pushed = if count == 0 { decoder.finish() } else { decoder.push(&piece[..count]) };
        while decoder.next_events().is_some() || decoder.next_rejects().is_some() {}
        match pushed {
            Err(error) => return error,
            Ok(()) => assert!(count > 0, "it was read whole"),
        }
    }
}

fn best(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok())
}

/// Ten GiB of one line, in each packing that can hold so much in little.
#[test]
fn bombs_stop_at_the_limits_and_take_little_memory() {
    const MEMBERS: u64 = 10 << 10;
    let block = vec![b'x'; 1 << 20];
    let dense = ObjectError::TooDense { limit: 200 };
    let before = resident_kib();
    for member in [best(&block), zstandard(&block), zlib(&block)] {
        let object = Again { member, at: 0, left: MEMBERS };
        assert_eq!(endless(&Limits::default(), object), dense);
    }
    // Snappy makes twenty of one at most: there the size is the limit.
    let small = Limits { object_bytes_max: 1 << 26, ..Limits::default() };
    for member in [framed(&block), hadoop(&block, 1 << 18)] {
        let object = Again { member, at: 0, left: MEMBERS };
        assert_eq!(endless(&small, object), ObjectError::TooLarge { limit: 1 << 26 });
    }
    // A bomb within a bomb: a few KiB for ten GiB.
    let nested = best(&best(&block).repeat(MEMBERS as usize));
    assert!(nested.len() < 1 << 20);
    assert_eq!(endless(&Limits::default(), Cursor::new(&nested)), dense);
    // One frame, one entry.
    let mut frame = Vec::new();
    zstd::stream::read::Encoder::new(std::io::repeat(b'x').take(10 << 30), 1)
        .unwrap()
        .take(1 << 15)
        .read_to_end(&mut frame)
        .unwrap();
    assert_eq!(endless(&Limits::default(), Cursor::new(&frame)), dense);
    assert_eq!(endless(&Limits::default(), Cursor::new(zip(&[&frame], true))), dense);
    let entry = zip(&[&block.repeat(128)], true);
    assert_eq!(endless(&Limits::default(), Cursor::new(entry)), dense);
    if let (Some(before), Some(after)) = (before, resident_kib()) {
        // The tests beside this one take some too.
        assert!(after.saturating_sub(before) < 512 << 10, "{before} KiB before, {after} KiB after");
    }
}

#[test]
fn a_zstd_window_that_takes_too_much_memory_is_refused() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&many()).unwrap();
    assert!(matches!(try_read(&rest(), encoder.finish().unwrap()), Err(ObjectError::Corrupt { .. })));
}

#[test]
fn a_document_over_the_limit_is_one_reject() {
    let limits = Limits { document_bytes_max: 4096, ..Limits::default() };
    let plan = plan_of(templates(&[REST]), KeySpec::None, &Limits { record_bytes_max: 2048, ..limits }).unwrap();
    let messages: Vec<String> = (0..20).map(|id| access(&format!("m{id}"))).collect();
    let large = envelope(&messages.iter().map(String::as_str).collect::<Vec<_>>());
    for object in [format!("{large}\n{}", access("a")), format!("{large}{}", access("a"))] {
        let read = read(&plan, object);
        assert_eq!((read.column("request_id"), read.reasons()), (vec!["a"], vec!["too_long"]));
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// An error record as Firehose leaves it under `processing-failed/`.
fn undelivered(raw: &[u8]) -> String {
    serde_json::json!({
        "attemptsMade": 4, "arrivalTimestamp": 1_764_000_000_456_u64, "errorCode": "Lambda.FunctionError",
        "errorMessage": "The Lambda function was successfully invoked but it returned an error result.",
        "attemptEndingTimestamp": 1_764_000_100_456_u64, "rawData": base64(raw),
        "lambdaArn": "arn:aws:lambda:us-east-1:111122223333:function:transform",
    })
    .to_string()
}

#[test]
fn what_firehose_could_not_deliver_is_read_as_if_it_had() {
    let (a, b) = (access("a"), access("b"));
    let whole = read(&rest(), format!("{}\n", envelope(&[&a, &b])));
    for raw in [gzip(envelope(&[&a, &b])), envelope(&[&a, &b]).into_bytes(), format!("{a}\n{b}\n").into_bytes()] {
        for object in
            [undelivered(&raw), undelivered(&raw) + "\n", undelivered(&raw).replace("arrival", "\\u0061rrival")]
        {
            let again = read(&rest(), &object);
            assert_eq!(again.events, whole.events, "also the fingerprints: the union takes them for the same");
            assert_eq!(read(&rest(), gzip(object)), again);
        }
    }
    let beside = format!("{}{}\n{CONTROL}", undelivered(a.as_bytes()), access("c"));
    assert_eq!(read(&rest(), beside).column("request_id"), ["a", "c"]);
    // Lines of CloudFront, and lines of text.
    let edge_line = line(&[("x-edge-request-id", "E1")]);
    assert_eq!(read(&edge(KeySpec::None), undelivered(edge_line.as_bytes()) + "\n" + &edge_line).counts.events, 2);
    let csv = "$context.extendedRequestId,$context.requestTimeEpoch,$context.identity.apiKeyId";
    let plan = plan_of(templates(&[csv]), variable("identity.apiKeyId"), &Limits::default()).unwrap();
    assert_eq!(only(&plan, undelivered(b"E1,1764000000456,k1"))["key_ref"], "k1");
}

#[test]
fn an_error_record_that_cannot_be_read_is_a_reject() {
    let limits = Limits { document_bytes_max: 1 << 16, ..Limits::default() };
    let plan = plan_of(templates(&[REST]), variable("identity.apiKeyId"), &limits).unwrap();
    let packed = gzip(access("a"));
    for (object, detail) in [
        (undelivered(b"x").replace("eA==", "?"), "base64"),
        (undelivered(&packed[..packed.len() - 3]), "too early"),
        (undelivered(&gzip(vec![b'\n'; 1 << 20])), "unpacks to more than"),
        (undelivered(undelivered(b"x").as_bytes()), "within another"),
    ] {
        let read = read(&plan, object + &access("b"));
        assert_eq!((read.column("request_id"), read.reasons()), (vec!["b"], vec!["bad_raw_data"]));
        assert!(read.rejects[0]["detail"].contains(detail), "{:?}", read.rejects);
    }
}

/// A byte that is no text becomes three, in every column that holds the value, and is held as a name of itself besides:
/// 65 KiB of such records took 1.3 GiB.
#[test]
fn values_that_grow_are_handed_over_before_they_take_much_memory() {
    let format =
        r#"{"id":"$context.extendedRequestId","t":"$context.requestTimeEpoch","c":"$context.authorizer.customerId"}"#;
    let plan = plan_of(templates(&[format]), KeySpec::None, &Limits::default()).unwrap();
    let mut object = Vec::new();
    for id in 0..24 {
        let start = format!(r#"{{"id":"{id}","t":"1764000000456","c":"{id}"#);
        object.extend([start.as_bytes(), &[0xff; 1 << 20], b"\"}\n"].concat());
    }
    let mut decoder = Decoder::new(&plan, "object", arrived());
    decoder.push(&gzip(object)).unwrap();
    decoder.end();
    let mut rows = 0;
    while let Some(batch) = decoder.next_events() {
        rows += batch.num_rows();
        let bytes = batch.get_array_memory_size();
        assert!(bytes < 64 << 20, "{} rows in {bytes} bytes", batch.num_rows());
    }
    decoder.finish().unwrap();
    rows += std::iter::from_fn(|| decoder.next_events()).map(|batch| batch.num_rows()).sum::<usize>();
    assert_eq!(rows, 24);
}

/// It was passed over without a word before: neither an event nor a reject came of it.
#[test]
fn a_parquet_object_in_an_error_record_is_a_reject() {
    let plan = standard::plan(&[], KeySpec::None);
    let object = standard::parquet_of(&[("x-edge-request-id".to_owned(), "A==")]);
    let read = read(&plan, undelivered(&object));
    assert_eq!(read.reasons(), ["bad_raw_data"]);
}

/// Each takes more memory than the three bytes it has.
#[test]
fn a_document_of_very_many_log_events_is_one_reject() {
    let many = format!(r#"{{"messageType":"DATA_MESSAGE","logEvents":[{}{{}}]}}"#, "{},".repeat(1 << 20));
    let read = read(&rest(), many + "\n" + &access("a"));
    assert_eq!((read.column("request_id"), read.reasons()), (vec!["a"], vec!["bad_json"]));
}

/// A caller who breaks out of a string can write such keys too, but not without the record's own beside them.
#[test]
fn an_access_log_record_is_no_error_record() {
    let forged = access("victim").replace("k1", "k2");
    let inner = format!(r#"x","attemptsMade":4,"errorCode":"x","rawData":"{}"#, base64(forged.as_bytes()));
    let hostile = access("a").replace(r#""userAgent":"-""#, &format!(r#""userAgent":"{inner}""#));
    let read = read(&rest(), hostile);
    assert_eq!(read.column("key_ref"), ["k1"]);
}
