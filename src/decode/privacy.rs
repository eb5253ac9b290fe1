//! Keys to references, client addresses to what the setting leaves of them. A secret key leaves this module only as
//! HMAC-SHA256 under the newest configured secret; the few keys that make most requests are hashed once per object.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hashbrown::HashMap;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::redact::Scrub;
use super::{ClientIp, KeySecret};

/// Keys remembered per object; a caller who makes up more only makes us hash again.
const CACHE_KEYS_MAX: usize = 4096;
/// Longer keys are hashed each time, so that the cache stays small.
const CACHED_KEY_BYTES_MAX: usize = 256;
/// What the check value is the hash of: no header or token can hold a NUL, so it is no key's reference.
const CHECK_TEXT: &[u8] = b"\0meterlake: check value of a key secret";
const HEX: &[u8; 16] = b"0123456789abcdef";

/// The stored reference of a secret key: 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct KeyRef([u8; 32]);

impl KeyRef {
    fn of(mut mac: Hmac<Sha256>, key: &[u8]) -> Self {
        mac.update(key);
        let full = mac.finalize().into_bytes();
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(full.iter()) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        Self(digits)
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

fn keyed(secret: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(secret).expect("HMAC takes keys of any length")
}

/// The reference under which a secret key is stored: the first 32 hex digits of HMAC-SHA256.
pub fn key_ref(secret: &KeySecret, key: &[u8]) -> String {
    KeyRef::of(keyed(&secret.0), key).0.iter().map(|&digit| digit as char).collect()
}

/// What a lake remembers of a secret, to know it again: says nothing about the secret or any key.
pub fn secret_check_value(secret: &KeySecret) -> String {
    key_ref(secret, CHECK_TEXT)
}

/// Hashes secret keys, remembering the frequent ones.
pub(super) struct KeyHasher {
    mac: Hmac<Sha256>,
    known: HashMap<Vec<u8>, Arc<HashedKey>>,
}

/// A secret key that was met.
pub(super) struct HashedKey {
    pub(super) key_ref: KeyRef,
    /// Takes the key out of other fields.
    pub(super) scrub: Scrub,
}

impl KeyHasher {
    /// `secret`: the newest configured one, or anything fixed where only rejects are masked.
    pub(super) fn new(secret: &[u8]) -> Self {
        Self { mac: keyed(secret), known: HashMap::new() }
    }

    pub(super) fn key_ref(&mut self, key: &[u8]) -> KeyRef {
        self.hashed(key).key_ref
    }

    pub(super) fn hashed(&mut self, key: &[u8]) -> Arc<HashedKey> {
        if let Some(found) = self.known.get(key) {
            return found.clone();
        }
        let key_ref = self.uncached(key);
        let made = Arc::new(HashedKey { key_ref, scrub: Scrub::of_one(key, key_ref.0) });
        if key.len() <= CACHED_KEY_BYTES_MAX {
            if self.known.len() >= CACHE_KEYS_MAX {
                self.known.clear();
            }
            self.known.insert(key.to_vec(), made.clone());
        }
        made
    }

    /// The reference of something seen once.
    pub(super) fn uncached(&self, key: &[u8]) -> KeyRef {
        KeyRef::of(self.mac.clone(), key)
    }
}

/// Appends what the setting leaves of an address. With `Truncate`, what is no address is dropped.
pub(super) fn push_client_ip(setting: ClientIp, address: &str, out: &mut String) -> bool {
    use std::fmt::Write as _;
    let wrote = match setting {
        ClientIp::Drop => return false,
        ClientIp::Keep => {
            out.push_str(address);
            Ok(())
        }
        ClientIp::Truncate => {
            if let Ok(v4) = address.parse::<Ipv4Addr>() {
                let [a, b, c, _] = v4.octets();
                write!(out, "{}", Ipv4Addr::new(a, b, c, 0))
            } else if let Ok(v6) = address.parse::<Ipv6Addr>() {
                if let Some(v4) = v6.to_ipv4_mapped() {
                    let [a, b, c, _] = v4.octets();
                    write!(out, "{}", Ipv4Addr::new(a, b, c, 0))
                } else {
                    let [a, b, c, ..] = v6.segments();
                    write!(out, "{}", Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
                }
            } else {
                return false;
            }
        }
    };
    wrote.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_refs_are_hmac_sha256() {
        // RFC 4231, test case 2.
        let secret = KeySecret(b"Jefe".to_vec());
        assert_eq!(key_ref(&secret, b"what do ya want for nothing?"), "5bdcc146bf60754e6a042426089575c7");
        let mut hasher = KeyHasher::new(&secret.0);
        for _ in 0..2 {
            assert_eq!(hasher.key_ref(b"what do ya want for nothing?").as_bytes(), b"5bdcc146bf60754e6a042426089575c7");
        }
        assert_ne!(secret_check_value(&secret), secret_check_value(&KeySecret(b"other".to_vec())));
    }

    #[test]
    fn the_cache_is_bounded() {
        let mut hasher = KeyHasher::new(b"s");
        for i in 0..3 * CACHE_KEYS_MAX {
            hasher.key_ref(i.to_string().as_bytes());
        }
        hasher.key_ref(&[b'x'; 1000]);
        assert!(hasher.known.len() <= CACHE_KEYS_MAX && hasher.known.keys().all(|key| key.len() < 1000));
    }

    #[test]
    fn addresses_lose_what_the_setting_says() {
        let cut = |setting, address: &str| {
            let mut out = String::new();
            push_client_ip(setting, address, &mut out).then_some(out)
        };
        assert_eq!(cut(ClientIp::Keep, "203.0.113.9").as_deref(), Some("203.0.113.9"));
        assert_eq!(cut(ClientIp::Truncate, "203.0.113.9").as_deref(), Some("203.0.113.0"));
        assert_eq!(
            cut(ClientIp::Truncate, "2600:1700:2328:7f60:fc5c:8867:7522:1bef").as_deref(),
            Some("2600:1700:2328::")
        );
        assert_eq!(cut(ClientIp::Truncate, "::ffff:203.0.113.9").as_deref(), Some("203.0.113.0"));
        assert_eq!(cut(ClientIp::Truncate, "not an address"), None);
        assert_eq!(cut(ClientIp::Drop, "203.0.113.9"), None);
    }
}
