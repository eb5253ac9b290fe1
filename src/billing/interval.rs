//! Which intervals of one thing share an instant: nobody is on two plans at once, no key has two owners at once.

use std::collections::BTreeMap;

use crate::base::{HalfOpen, Micros};

/// An interval of a file with the line it stands on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Claim {
    /// When it holds.
    pub valid: HalfOpen<Micros>,
    /// Where it was written.
    pub line: u32,
}

/// A claim that shares an instant with another of the same thing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Overlap<K> {
    /// What both claim.
    pub key: K,
    /// The one written first.
    pub first: Claim,
    /// The one written second.
    pub second: Claim,
}

/// Every claim that overlaps one that begins no later, each told once.
pub(crate) fn overlaps<K: Ord + Clone>(claims: impl IntoIterator<Item = (K, Claim)>) -> Vec<Overlap<K>> {
    let mut by_key: BTreeMap<K, Vec<Claim>> = BTreeMap::new();
    for (key, claim) in claims {
        by_key.entry(key).or_default().push(claim);
    }
    let mut found = Vec::new();
    for (key, mut claims) in by_key {
        claims.sort_by_key(|claim| (claim.valid.from, claim.line));
        // The one that reaches furthest so far: if any earlier claim overlaps the next, this one does.
        let mut furthest: Option<Claim> = None;
        for claim in claims {
            if let Some(reach) = furthest.filter(|reach| reach.valid.overlaps(&claim.valid)) {
                let (first, second) = if reach.line <= claim.line { (reach, claim) } else { (claim, reach) };
                found.push(Overlap { key: key.clone(), first, second });
            }
            let end = |claim: &Claim| claim.valid.to.unwrap_or(Micros(i64::MAX));
            if furthest.is_none_or(|reach| end(&reach) < end(&claim)) {
                furthest = Some(claim);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_comparing_every_pair(
            claims in prop::collection::vec((0..3_u8, 0..20_i64, prop::option::of(1..6_i64)), 0..12)
        ) {
            let claims: Vec<(u8, Claim)> = claims.into_iter().zip(2..).map(|((key, from, length), line)| {
                let to = length.map(|length| Micros(from + length));
                (key, Claim { valid: HalfOpen { from: Micros(from), to }, line })
            }).collect();
            let mut expected: Vec<(u8, u32)> = Vec::new();
            for (key, claim) in &claims {
                let precedes = |other: &Claim| (other.valid.from, other.line) < (claim.valid.from, claim.line);
                let shares = |other: &Claim| (0..=40).map(Micros)
                    .any(|at| other.valid.contains(at) && claim.valid.contains(at));
                if claims.iter().any(|(k, other)| k == key && precedes(other) && shares(other)) {
                    expected.push((*key, claim.line));
                }
            }
            let found = overlaps(claims.clone());
            for overlap in &found {
                prop_assert!(overlap.first.line < overlap.second.line);
                prop_assert!(overlap.first.valid.overlaps(&overlap.second.valid));
            }
            prop_assert_eq!(found.len(), expected.len());
        }
    }
}
