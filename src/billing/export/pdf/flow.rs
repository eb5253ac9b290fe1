//! Pieces of a page flow down sheets of paper: what does not fit goes to the next sheet, below the table's repeated
//! head. A piece is kept together where a sheet can hold it.

use super::font::Run;

/// A4 in points.
pub(super) const SHEET: (f32, f32) = (595.28, 841.89);
/// Left and right.
pub(super) const MARGIN: f32 = 51.0;
/// Where the content of the first sheet begins.
const TOP: f32 = 51.0;
/// Where the content of all others begins: below a running head.
const TOP_NEXT: f32 = 68.0;
/// Where content ends.
pub(super) const BOTTOM: f32 = 776.0;
/// The width of the content.
pub(super) const WIDTH: f32 = SHEET.0 - 2.0 * MARGIN;

/// Red, green, blue.
pub(super) type Color = (u8, u8, u8);

/// A part of the document's structure, for those who listen to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Node(pub(super) usize);

/// What a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Title,
    Heading(&'static str),
    Paragraph,
    Table,
    Head,
    Body,
    Row,
    ColumnHead,
    RowHead,
    /// The title of a section, across all columns of the table.
    SectionHead,
    Cell,
}

/// The structure: nodes and what each is within.
#[derive(Clone, Default, Debug)]
pub(super) struct Tree(pub(super) Vec<(Role, Option<Node>)>);

/// What is drawn.
#[derive(Clone, Debug)]
pub(super) enum Ink {
    /// Text, from the left, on its base line.
    Text(Run),
    /// A rectangle.
    Fill { width: f32, height: f32 },
}

/// A thing in its place.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) color: Color,
    pub(super) ink: Ink,
    /// What it belongs to; none: decoration.
    pub(super) node: Option<Node>,
}

/// A stripe across the page that is never cut; places are counted from its upper edge.
#[derive(Clone, Default, Debug)]
pub(super) struct Strip {
    pub(super) height: f32,
    pub(super) items: Vec<Item>,
}

/// A finished sheet.
#[derive(Clone, Default, Debug)]
pub(super) struct Sheet {
    pub(super) items: Vec<Item>,
}

/// Sheets being filled.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) sheets: Vec<Sheet>,
    y: f32,
    /// Repeated on each sheet while a table goes on.
    head: Vec<Strip>,
}

impl Tree {
    /// A new node at the end of another.
    pub(super) fn add(&mut self, role: Role, within: Option<Node>) -> Node {
        self.0.push((role, within));
        Node(self.0.len() - 1)
    }
}

impl Strip {
    /// White space.
    pub(super) fn space(height: f32) -> Self {
        Self { height, items: Vec::new() }
    }

    /// Moves everything down and makes room above and below.
    pub(super) fn padded(mut self, above: f32, below: f32) -> Self {
        self.items.iter_mut().for_each(|item| item.y += above);
        self.height += above + below;
        self
    }
}

/// Columns beside each other as one strip; where they are too high for that, stripe by stripe.
pub(super) fn beside(columns: Vec<Vec<Strip>>) -> Vec<Strip> {
    let height = |column: &Vec<Strip>| column.iter().map(|strip| strip.height).sum::<f32>();
    let highest = columns.iter().map(height).fold(0.0, f32::max);
    if highest <= (BOTTOM - TOP) / 2.0 {
        let mut all = Strip::space(highest);
        for column in columns {
            let mut above = 0.0;
            for strip in column {
                let next = above + strip.height;
                all.items.extend(strip.padded(above, 0.0).items);
                above = next;
            }
        }
        return vec![all];
    }
    let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
    let mut strips = Vec::new();
    loop {
        let row: Vec<Strip> = columns.iter_mut().filter_map(Iterator::next).collect();
        if row.is_empty() {
            return strips;
        }
        let height = row.iter().map(|strip| strip.height).fold(0.0, f32::max);
        strips.push(Strip { height, items: row.into_iter().flat_map(|strip| strip.items).collect() });
    }
}

impl Flow {
    /// An empty first sheet.
    pub(super) fn new() -> Self {
        Self { sheets: vec![Sheet::default()], y: TOP, head: Vec::new() }
    }

    /// Puts a piece below what is there: whole where a sheet can hold it, else strip by strip.
    pub(super) fn place(&mut self, gap: f32, strips: Vec<Strip>) {
        let height: f32 = strips.iter().map(|strip| strip.height).sum();
        let head: f32 = self.head.iter().map(|strip| strip.height).sum();
        let is_keepable = height <= BOTTOM - TOP_NEXT - head;
        if is_keepable && self.y + gap + height > BOTTOM {
            self.turn();
        } else {
            self.y += gap;
        }
        for strip in strips {
            if self.y + strip.height > BOTTOM {
                self.turn();
            }
            self.put(strip);
        }
    }

    /// Puts the head of a table, to be repeated until [`Flow::end_table`], above its first row.
    pub(super) fn begin_table(&mut self, gap: f32, head: Vec<Strip>, room: f32) {
        let height: f32 = head.iter().map(|strip| strip.height).sum();
        let is_full = self.y + gap + height + room > BOTTOM;
        if is_full {
            self.turn();
        }
        self.place(if is_full { 0.0 } else { gap }, head.clone());
        self.head = head;
        for item in self.head.iter_mut().flat_map(|strip| &mut strip.items) {
            // Said once only.
            item.node = None;
        }
    }

    /// The table is over.
    pub(super) fn end_table(&mut self) {
        self.head.clear();
    }

    fn turn(&mut self) {
        self.sheets.push(Sheet::default());
        self.y = TOP_NEXT;
        for strip in self.head.clone() {
            self.put(strip);
        }
    }

    fn put(&mut self, strip: Strip) {
        let moved = strip.items.into_iter().map(|item| Item { y: item.y + self.y, ..item });
        if let Some(sheet) = self.sheets.last_mut() {
            sheet.items.extend(moved);
        }
        self.y += strip.height;
    }
}
