//! An error with what caused it, on one line.

use std::error::Error;

/// The error and its causes with colons between; a cause that the text tells already is not told again, as libraries do.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Outer(&'static str, #[source] io::Error);

    #[test]
    fn every_cause_is_told_once() {
        let of = |text, cause: &'static str| with_causes(&Outer(text, io::Error::other(cause)));
        assert_eq!(of("cannot read a.gz", "no such host"), "cannot read a.gz: no such host");
        assert_eq!(of("cannot read a.gz: no such host", "no such host"), "cannot read a.gz: no such host");
    }
}
