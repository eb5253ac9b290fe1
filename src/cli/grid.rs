//! A small table of text for people: columns line up, numbers stand to the right, no frame. No colour, so nothing to switch off.

use std::fmt;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// Rows under a header.
#[derive(Debug)]
pub(crate) struct Grid {
    table: Table,
    has_header: bool,
}

impl Grid {
    /// An empty grid; a heading that begins with `>` marks a column of numbers.
    pub(crate) fn new<S: AsRef<str>>(headings: &[S]) -> Self {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(headings.iter().map(|heading| heading.as_ref().trim_start_matches('>')));
        for (column, heading) in table.column_iter_mut().zip(headings) {
            column.set_padding((0, 2));
            if heading.as_ref().starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Self { table, has_header: true }
    }

    /// Two columns without a header: names and what they say.
    pub(crate) fn pairs() -> Self {
        Self { has_header: false, ..Self::new(&["", ""]) }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.table.add_row(cells);
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Padding after the last column would leave white space at the ends of lines.
        let lines = self.table.lines().skip(usize::from(!self.has_header));
        lines.into_iter().try_for_each(|line| writeln!(f, "  {}", line.trim_end()))
    }
}

/// A whole number with thousands apart: `12 345`.
pub(crate) fn count(value: impl TryInto<i128>) -> String {
    let Ok(value) = value.try_into() else { return "?".to_owned() };
    let digits = value.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if value < 0 {
        text.push('-');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the unit that suits.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];
    for (unit, shift) in UNITS {
        if bytes >> shift > 0 || shift == 0 {
            let tenths = (u128::from(bytes) * 10) >> shift;
            return if shift == 0 { format!("{bytes} B") } else { format!("{}.{} {unit}", tenths / 10, tenths % 10) };
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right() {
        let mut grid = Grid::new(&["customer", ">usage"]);
        grid.row(["acme".into(), count(1234567)]);
        grid.row(["b".into(), count(-5)]);
        assert_eq!(grid.to_string(), "  customer      usage\n  acme      1 234 567\n  b                -5\n");
    }

    #[test]
    fn pairs_have_no_header() {
        let mut grid = Grid::pairs();
        grid.row(["status".into(), "200".into()]);
        grid.row(["id".into(), "a".into()]);
        assert_eq!(grid.to_string(), "  status  200\n  id      a\n");
    }

    #[test]
    fn sizes() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(64 << 20), "64.0 MiB");
    }
}
