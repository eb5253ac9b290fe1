//! Where everything of a page stands on paper: head, parties, the amount due, the table of lines, sums, notes; then
//! what is on every sheet, its number among them.

use super::super::page::{Block, Fact, Page, Row, Section};
use super::flow::{BOTTOM, Color, Flow, Ink, Item, MARGIN, Node, Role, SHEET, Sheet, Strip, Tree, WIDTH, beside};
use super::font::{Faces, Run, Style, bold, regular};

const INK: Color = (22, 32, 42);
const SOFT: Color = (90, 102, 115);
const ACCENT: Color = (11, 92, 122);
const LINE: Color = (206, 213, 220);
const TINT: Color = (241, 245, 248);
const WARN: Color = (138, 59, 0);
const WARN_TINT: Color = (255, 241, 224);

/// Height of a line of text over its size, and where in it the base line is.
const LEADING: f32 = 1.34;
const BASE: f32 = 1.02;
/// Between columns.
const GUTTER: f32 = 14.0;
/// The second of two columns.
const HALF: f32 = (WIDTH + 28.0) / 2.0;
/// Labels of facts.
const LABEL: f32 = 62.0;
/// Sizes of the table's text: the largest that leaves the description room, or else the least.
const SIZES: [f32; 7] = [9.0, 8.5, 8.0, 7.5, 7.0, 6.5, 6.0];
const LEAST: f32 = 5.0;
/// The size of the table's head.
const HEAD: f32 = 7.5;
const DESCRIPTION: f32 = 150.0;

/// A laid out invoice.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) sheets: Vec<Sheet>,
    pub(super) tree: Tree,
}

struct Layout<'a> {
    page: &'a Page,
    faces: &'a Faces,
    flow: Flow,
    tree: Tree,
}

/// The columns of the table at one size.
struct Columns {
    size: f32,
    description: (f32, f32),
    /// The right edge.
    quantity: f32,
    /// Where the decimal points stand.
    price_point: f32,
    price: f32,
    amount: f32,
}

/// Lays an invoice out.
pub(super) fn lay_out(page: &Page, faces: &Faces) -> Document {
    let mut layout = Layout { page, faces, flow: Flow::new(), tree: Tree::default() };
    layout.warning();
    layout.head();
    layout.parties();
    layout.due();
    layout.table();
    layout.sums();
    layout.notes();
    layout.every_sheet();
    Document { sheets: layout.flow.sheets, tree: layout.tree }
}

impl Layout<'_> {
    /// A paragraph's lines.
    fn lines(&self, text: &str, style: Style, color: Color, (x, width): (f32, f32), node: Node) -> Vec<Strip> {
        let runs = self.faces.wrap(text, style, width);
        runs.into_iter().map(|run| line_of(vec![text_item(run, x, color, Some(node))], style.size)).collect()
    }

    fn warning(&mut self) {
        let Some(warning) = self.page.warning else { return };
        let node = self.tree.add(Role::Paragraph, None);
        let lines = self.lines(warning, bold(10.0), WARN, (MARGIN + 12.0, WIDTH - 24.0), node);
        let mut all = stacked(lines).padded(8.0, 8.0);
        let height = all.height;
        all.items.insert(0, fill((MARGIN, 0.0), (WIDTH, height), WARN_TINT));
        all.items.insert(1, fill((MARGIN, 0.0), (3.0, height), WARN));
        self.flow.place(0.0, vec![all, Strip::space(18.0)]);
    }

    fn head(&mut self) {
        let title = self.tree.add(Role::Title, None);
        let number = self.tree.add(Role::Paragraph, None);
        let right = |run: Run, color, node| {
            let size = run.style.size;
            line_of(vec![text_item_right(run, MARGIN + WIDTH, color, Some(node))], size)
        };
        let mut what = vec![right(self.faces.run(self.page.title, bold(22.0)), ACCENT, title)];
        let below = self.page.number.as_deref().unwrap_or(&self.page.heading);
        what.extend(self.faces.wrap(below, regular(11.0), WIDTH * 0.4).into_iter().map(|run| right(run, INK, number)));
        let seller = self.block(&self.page.seller, 13.0, (MARGIN, WIDTH * 0.55));
        self.flow.place(0.0, beside(vec![seller, what]));
        let rule = Strip { height: 14.0, items: vec![fill((MARGIN, 12.0), (WIDTH, 2.0), ACCENT)] };
        self.flow.place(0.0, vec![rule]);
    }

    fn block(&mut self, block: &Block, size: f32, place: (f32, f32)) -> Vec<Strip> {
        let name = self.tree.add(Role::Paragraph, None);
        let mut strips = self.lines(&block.name, bold(size), INK, place, name);
        for line in &block.lines {
            let node = self.tree.add(Role::Paragraph, None);
            strips.extend(self.lines(line, regular(9.0), SOFT, place, node));
        }
        strips
    }

    fn parties(&mut self) {
        let heading = |layout: &mut Self, text: &'static str, x: f32| {
            let node = layout.tree.add(Role::Heading(text), None);
            let run = layout.faces.run(text, bold(8.0));
            line_of(vec![text_item(run, x, SOFT, Some(node))], 8.0).padded(0.0, 3.0)
        };
        let mut to = vec![heading(self, "Billed to", MARGIN)];
        to.extend(self.block(&self.page.customer, 11.0, (MARGIN, HALF - GUTTER * 2.0)));
        let x = MARGIN + HALF;
        let mut details = vec![heading(self, "Details", x)];
        for Fact { label, value } in &self.page.facts {
            let node = self.tree.add(Role::Paragraph, None);
            let mut strips = self.lines(value, regular(9.0), INK, (x + LABEL, WIDTH - HALF - LABEL), node);
            let label = text_item(self.faces.run(label, regular(9.0)), x, SOFT, Some(node));
            if let Some(first) = strips.first_mut() {
                first.items.insert(0, Item { y: 9.0 * BASE, ..label });
            }
            details.extend(strips);
        }
        self.flow.place(16.0, beside(vec![to, details]));
    }

    fn due(&mut self) {
        let node = self.tree.add(Role::Paragraph, None);
        let value = self.fitting(&self.page.due.value, 15.0, WIDTH - 220.0);
        let label = self.faces.cut(&self.page.due.label, regular(10.0), WIDTH - 40.0 - value.width);
        let mut strip = Strip { height: 38.0, items: vec![fill((MARGIN, 0.0), (WIDTH, 38.0), TINT)] };
        let at = |item: Item| Item { y: 24.0, ..item };
        strip.items.push(at(text_item(label, MARGIN + 12.0, INK, Some(node))));
        strip.items.push(at(text_item_right(value, MARGIN + WIDTH - 12.0, INK, Some(node))));
        self.flow.place(20.0, vec![strip]);
    }

    /// Bold figures of a size, or of the largest that fits.
    fn fitting(&self, text: &str, size: f32, width: f32) -> Run {
        let run = self.faces.figures(text, bold(size));
        if run.width <= width { run } else { self.faces.figures(text, bold(size * width / run.width)) }
    }

    fn table(&mut self) {
        let page = self.page;
        let labels = ["Line".to_owned(), "Description".to_owned(), "Quantity".to_owned(), "Unit price".to_owned()];
        let labels = [labels.as_slice(), &[format!("Amount ({})", page.currency)]].concat();
        let columns = self.columns(&labels);
        let table = self.tree.add(Role::Table, None);
        let head = self.tree.add(Role::Head, Some(table));
        let row = self.tree.add(Role::Row, Some(head));
        let mut items = Vec::new();
        for (at, label) in labels.iter().enumerate() {
            let node = self.tree.add(Role::ColumnHead, Some(row));
            let run = self.faces.run(label, bold(HEAD));
            items.push(match at {
                0 => text_item(run, MARGIN, SOFT, Some(node)),
                1 => text_item(run, columns.description.0, SOFT, Some(node)),
                2 => text_item_right(run, columns.quantity, SOFT, Some(node)),
                3 => text_item_right(run, columns.price, SOFT, Some(node)),
                _ => text_item_right(run, columns.amount, SOFT, Some(node)),
            });
        }
        let mut strip = line_of(items, HEAD).padded(0.0, 5.0);
        strip.items.push(fill((MARGIN, strip.height - 1.0), (WIDTH, 1.0), INK));
        self.flow.begin_table(20.0, vec![strip], 60.0);
        for section in &page.sections {
            self.section(section, &columns, table);
        }
        self.flow.end_table();
    }

    fn section(&mut self, section: &Section, columns: &Columns, table: Node) {
        let body = self.tree.add(Role::Body, Some(table));
        let row = self.tree.add(Role::Row, Some(body));
        let node = self.tree.add(Role::SectionHead, Some(row));
        let mut heading = self.lines(&section.title, bold(columns.size), INK, (MARGIN, WIDTH), node);
        end_row(&mut heading, 10.0, 4.0);
        for row in &section.rows {
            let strips = self.row(row, columns, body);
            // A heading goes with its first row.
            let strips = std::mem::take(&mut heading).into_iter().chain(strips).collect();
            self.flow.place(0.0, strips);
        }
    }

    fn row(&mut self, row: &Row, columns: &Columns, body: Node) -> Vec<Strip> {
        let style = regular(columns.size);
        let within = self.tree.add(Role::Row, Some(body));
        let mut cell = |role| self.tree.add(role, Some(within));
        let (number, text) = (cell(Role::Cell), cell(Role::RowHead));
        let (quantity, price, amount) = (cell(Role::Cell), cell(Role::Cell), cell(Role::Cell));
        let mut strips = self.lines(&row.text, style, INK, columns.description, text);
        let mut figures = vec![text_item(self.faces.figures(&row.line.to_string(), style), MARGIN, SOFT, Some(number))];
        figures.extend(
            row.quantity
                .as_ref()
                .map(|value| text_item_right(self.faces.figures(value, style), columns.quantity, INK, Some(quantity))),
        );
        figures.extend(row.unit_price.as_ref().map(|value| {
            let run = self.faces.figures(value, style);
            let x = columns.price_point - before_point(&run);
            text_item(run, x, INK, Some(price))
        }));
        figures.push(text_item_right(self.faces.figures(&row.amount, style), columns.amount, INK, Some(amount)));
        if let Some(first) = strips.first_mut() {
            let placed = figures.into_iter().map(|item| Item { y: style.size * BASE, ..item });
            first.items = placed.chain(std::mem::take(&mut first.items)).collect();
        }
        for detail in &row.details {
            strips.extend(self.lines(detail, regular(columns.size - 1.0), SOFT, columns.description, text));
        }
        end_row(&mut strips, 4.0, 4.0);
        strips
    }

    /// The columns at the largest size that leaves the description room.
    fn columns(&self, labels: &[String]) -> Columns {
        let rows = || self.page.sections.iter().flat_map(|section| &section.rows);
        let label = |at: usize| self.faces.run(&labels[at], bold(HEAD)).width;
        // Widths at one point; at any other size they are so many times as wide.
        let run = |text: &str| self.faces.figures(text, regular(1.0));
        let widest = |widths: &mut dyn Iterator<Item = f32>| widths.fold(0.0, f32::max);
        let number = widest(&mut rows().map(|row| run(&row.line.to_string()).width));
        let quantity = widest(&mut rows().filter_map(|row| row.quantity.as_deref()).map(|text| run(text).width));
        let amount = widest(&mut rows().map(|row| run(&row.amount).width));
        let prices: Vec<Run> = rows().filter_map(|row| row.unit_price.as_deref()).map(run).collect();
        let whole = widest(&mut prices.iter().map(before_point));
        let places = widest(&mut prices.iter().map(|price| price.width - before_point(price)));
        let right = MARGIN + WIDTH;
        let at = |size: f32| {
            let amount = (amount * size).max(label(4));
            let price = ((whole + places) * size).max(label(3));
            let quantity = (quantity * size).max(label(2));
            let from = MARGIN + (number * size).max(label(0)) + GUTTER;
            Columns {
                size,
                quantity: right - amount - price - 2.0 * GUTTER,
                price_point: right - amount - GUTTER - places * size,
                price: right - amount - GUTTER,
                amount: right,
                description: (from, right - amount - price - quantity - 3.0 * GUTTER - from),
            }
        };
        SIZES.into_iter().map(at).find(|columns| columns.description.1 >= DESCRIPTION).unwrap_or_else(|| at(LEAST))
    }

    fn sums(&mut self) {
        let table = self.tree.add(Role::Table, None);
        let body = self.tree.add(Role::Body, Some(table));
        let total = self.fitting(&self.page.total.value, 12.0, WIDTH - 90.0);
        let values: Vec<Run> = self.page.sums.iter().map(|sum| self.faces.figures(&sum.value, regular(9.0))).collect();
        let widest = values.iter().chain([&total]).map(|run| run.width).fold(0.0, f32::max);
        let width = (widest + 170.0).clamp(250.0, WIDTH);
        let (left, right) = (MARGIN + WIDTH - width, MARGIN + WIDTH);
        let label = (left, width - widest - GUTTER);
        let mut strips = Vec::new();
        let row = |layout: &mut Self, text: &str, style: Style, value: Run| {
            let row = layout.tree.add(Role::Row, Some(body));
            let (head, cell) = (layout.tree.add(Role::RowHead, Some(row)), layout.tree.add(Role::Cell, Some(row)));
            let mut strips = layout.lines(text, style, INK, label, head);
            let value = Item { y: style.size * BASE, ..text_item_right(value, right, INK, Some(cell)) };
            if let Some(first) = strips.first_mut() {
                first.items.push(value);
            }
            strips
        };
        for (sum, value) in self.page.sums.iter().zip(values) {
            let lines = row(self, &sum.label, regular(9.0), value);
            strips.extend(lines);
            strips.push(Strip::space(4.0));
        }
        strips.push(Strip { height: 9.0, items: vec![fill((left, 2.0), (width, 1.2), INK)] });
        let lines = row(self, &self.page.total.label, bold(12.0), total);
        strips.extend(lines);
        self.flow.place(12.0, strips);
    }

    fn notes(&mut self) {
        let rule = Strip { height: 12.0, items: vec![fill((MARGIN, 0.0), (WIDTH, 0.6), LINE)] };
        let mut strips = vec![rule];
        for line in &self.page.terms {
            let node = self.tree.add(Role::Paragraph, None);
            strips.extend(self.lines(line, regular(9.0), INK, (MARGIN, WIDTH), node));
        }
        if !self.page.terms.is_empty() {
            strips.push(Strip::space(6.0));
        }
        for note in &self.page.notes {
            let node = self.tree.add(Role::Paragraph, None);
            strips.extend(self.lines(note, regular(8.0), SOFT, (MARGIN, WIDTH), node));
        }
        self.flow.place(26.0, strips);
    }

    /// What is on every sheet: whose, which, the sheet's number; above all but the first a running head.
    fn every_sheet(&mut self) {
        let page = self.page;
        let count = self.flow.sheets.len();
        let foot = BOTTOM + 26.0;
        let who = format!("{} · {}", page.heading, page.seller.name);
        for (sheet, number) in self.flow.sheets.iter_mut().zip(1..) {
            let run = self.faces.figures(&format!("Page {number} of {count}"), regular(7.5));
            let room = WIDTH - run.width - GUTTER;
            let mut add = |item: Item, y: f32| sheet.items.push(Item { y, ..item });
            add(text_item_right(run, MARGIN + WIDTH, SOFT, None), foot);
            add(text_item(self.faces.cut(&who, regular(7.5), room), MARGIN, SOFT, None), foot);
            if number > 1 {
                let preview = page.warning.map(|_| self.faces.run("PREVIEW", bold(9.0)));
                let room = WIDTH - preview.as_ref().map_or(0.0, |run| run.width + GUTTER);
                let whose = format!("{} · {}", page.heading, page.customer.name);
                add(text_item(self.faces.cut(&whose, regular(8.0), room), MARGIN, SOFT, None), 44.0);
                if let Some(run) = preview {
                    add(text_item_right(run, MARGIN + WIDTH, WARN, None), 44.0);
                }
                add(fill((MARGIN, 0.0), (WIDTH, 0.6), LINE), 50.0);
            }
        }
        debug_assert!(foot < SHEET.1);
    }
}

fn text_item(run: Run, x: f32, color: Color, node: Option<Node>) -> Item {
    Item { x, y: 0.0, color, ink: Ink::Text(run), node }
}

fn text_item_right(run: Run, right: f32, color: Color, node: Option<Node>) -> Item {
    let x = right - run.width;
    text_item(run, x, color, node)
}

fn fill((x, y): (f32, f32), (width, height): (f32, f32), color: Color) -> Item {
    Item { x, y, color, ink: Ink::Fill { width, height }, node: None }
}

/// A line of text of a size.
fn line_of(items: Vec<Item>, size: f32) -> Strip {
    let items = items.into_iter().map(|item| Item { y: size * BASE, ..item }).collect();
    Strip { height: size * LEADING, items }
}

/// Strips as one.
fn stacked(strips: Vec<Strip>) -> Strip {
    beside(vec![strips]).into_iter().next().unwrap_or_default()
}

/// The width of a number up to its decimal point.
fn before_point(run: &Run) -> f32 {
    run.text.find('.').map_or(run.width, |at| run.width_before(at))
}

/// Room above and below a row of the table, and a rule under it.
fn end_row(strips: &mut [Strip], above: f32, below: f32) {
    if let Some(first) = strips.first_mut() {
        *first = std::mem::take(first).padded(above, 0.0);
    }
    if let Some(last) = strips.last_mut() {
        *last = std::mem::take(last).padded(0.0, below);
        last.items.push(fill((MARGIN, last.height - 0.5), (WIDTH, 0.5), LINE));
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::hard;
    use super::super::flow::MARGIN;
    use super::*;

    /// Left, upper, right and lower edge of a text.
    fn edges(item: &Item) -> Option<(f32, f32, f32, f32, &str)> {
        let Ink::Text(run) = &item.ink else { return None };
        let size = run.style.size;
        Some((item.x, item.y - size * 0.75, item.x + run.width, item.y + size * 0.2, &run.text))
    }

    #[test]
    fn nothing_overlaps_and_nothing_leaves_the_paper() {
        let faces = Faces::new().unwrap();
        for (name, statement) in hard::all() {
            for invoice in &statement.invoices {
                let document = lay_out(&Page::of(invoice).unwrap(), &faces);
                for sheet in &document.sheets {
                    let texts: Vec<_> =
                        sheet.items.iter().filter_map(edges).filter(|text| !text.4.is_empty()).collect();
                    for (at, a) in texts.iter().enumerate() {
                        let is_inside =
                            a.0 >= MARGIN - 0.1 && a.2 <= MARGIN + WIDTH + 0.1 && a.1 > 30.0 && a.3 < SHEET.1 - 30.0;
                        assert!(is_inside, "{name}: {a:?}");
                        for b in &texts[at + 1..] {
                            let apart = a.2 <= b.0 || b.2 <= a.0 || a.3 <= b.1 || b.3 <= a.1;
                            assert!(apart, "{name}: {a:?} {b:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_sheet_has_its_number_and_the_head_of_the_table() {
        let faces = Faces::new().unwrap();
        let statement = hard::long();
        let document = lay_out(&Page::of(&statement.invoices[0]).unwrap(), &faces);
        let count = document.sheets.len();
        // 207 lines of at least 20 points need 4140 points; a sheet has 708.
        assert!(count >= 6, "{count}");
        for (sheet, number) in document.sheets.iter().zip(1..) {
            let has = |wanted: &str| sheet.items.iter().filter_map(edges).any(|text| text.4 == wanted);
            assert!(has(&format!("Page {number} of {count}")), "{number}");
            assert!(has("Unit price") && has("Description"), "{number}");
        }
    }

    #[test]
    fn the_points_of_prices_stand_below_each_other() {
        let faces = Faces::new().unwrap();
        let statement = hard::long();
        let page = Page::of(&statement.invoices[0]).unwrap();
        let document = lay_out(&page, &faces);
        let prices: Vec<&str> = page
            .sections
            .iter()
            .flat_map(|section| &section.rows)
            .filter_map(|row| row.unit_price.as_deref())
            .collect();
        let is_price =
            |item: &&Item| edges(item).is_some_and(|text| prices.contains(&text.4) && text.0 > SHEET.0 / 2.0);
        let points: Vec<f32> = document
            .sheets
            .iter()
            .flat_map(|sheet| &sheet.items)
            .filter(is_price)
            .filter_map(|item| match &item.ink {
                Ink::Text(run) if run.text.len() - run.text.find('.')? > 4 => Some(item.x + before_point(run)),
                _ => None,
            })
            .collect();
        assert!(points.len() > 150 && points.iter().all(|x| (x - points[0]).abs() < 0.01), "{points:?}");
    }
}
