//! What is wrong in the files people write: one [`Problem`] per mistake, with file and line, and all of a file's
//! problems together, so that one run shows everything there is to mend. Names that are nearly right get a suggestion.

use std::fmt;

/// One mistake in a file: `rates.toml:12: …`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Problem {
    /// The file, as the user would type it.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// What is wrong and what to do; never a secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// All mistakes found.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Notes one more.
    pub fn add(&mut self, file: &str, line: u32, message: impl Into<String>) {
        self.0.push(Problem { file: file.to_owned(), line, message: message.into() });
    }

    /// Notes all of `other`.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The mistakes.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// File by file as they were noted, each file's by line, each once.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        let mut files: Vec<String> = Vec::new();
        for problem in &self.0 {
            if !files.contains(&problem.file) {
                files.push(problem.file.clone());
            }
        }
        self.0.sort_by_key(|problem| (files.iter().position(|file| *file == problem.file), problem.line));
        self.0.dedup();
        self
    }

    /// `value` where nothing is wrong, else everything that is, sorted.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self.sorted()) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The known name that `name` was probably meant to be.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |s: &str| s.to_lowercase().replace(['-', ' '], "_");
    let wanted = plain(name);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= 1.max(name.chars().count().min(candidate.chars().count()) / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `; did you mean …?` where a known name is near, else the known names where they are few.
pub fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if (1..=16).contains(&known.len()) => format!("; known: {}", listed(&known)),
        None => String::new(),
    }
}

/// `` `a`, `b`, `c` ``.
pub fn listed<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_only_what_is_near() {
        let known = ["location", "name", "kind"];
        assert_eq!(nearest("lokation", known), Some("location"));
        assert_eq!(nearest("Kind", known), Some("kind"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(suggestion("colour", known), "; known: `location`, `name`, `kind`");
    }

    #[test]
    fn problems_come_by_file_then_line_once() {
        let mut problems = Problems::default();
        problems.add("b.csv", 9, "x");
        problems.add("a.csv", 1, "y");
        problems.add("b.csv", 2, "z");
        problems.add("b.csv", 2, "z");
        assert_eq!(problems.or(()).unwrap_err().to_string(), "b.csv:2: z\nb.csv:9: x\na.csv:1: y");
    }
}
