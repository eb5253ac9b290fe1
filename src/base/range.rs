//! The one range type: half-open, `[from, to)`, with an open end where `to` is absent.

use std::fmt;

/// `[from, to)`; no `to` means for ever.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HalfOpen<T> {
    /// The first value inside.
    pub from: T,
    /// The first value after, or none.
    pub to: Option<T>,
}

impl<T: Ord + Copy> HalfOpen<T> {
    /// The range, or `None` where it would hold nothing (`to <= from`).
    pub fn new(from: T, to: Option<T>) -> Option<Self> {
        match to {
            Some(to) if to <= from => None,
            _ => Some(Self { from, to }),
        }
    }

    /// Whether `value` lies inside.
    pub fn contains(&self, value: T) -> bool {
        self.from <= value && self.to.is_none_or(|to| value < to)
    }

    /// Whether the two share a value.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.to.is_none_or(|to| other.from < to) && other.to.is_none_or(|to| self.from < to)
    }
}

impl<T: fmt::Display> fmt::Display for HalfOpen<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            Some(to) => write!(f, "[{}, {to})", self.from),
            None => write!(f, "[{}, …)", self.from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touching_ranges_do_not_overlap() {
        let first = HalfOpen::new(1, Some(3)).unwrap();
        let second = HalfOpen::new(3, None).unwrap();
        assert!(!first.overlaps(&second) && !second.overlaps(&first));
        assert!(first.contains(2) && !first.contains(3) && second.contains(3));
        assert!(HalfOpen::new(3, Some(3)).is_none());
    }
}
