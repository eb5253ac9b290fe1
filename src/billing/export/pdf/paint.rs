//! A laid out invoice as the bytes of a PDF: glyphs and rectangles, and the structure that says what each of them is.

use std::num::{NonZeroU16, NonZeroU32};

use chrono::Datelike;
use krilla::color::rgb;
use krilla::configure::{Accessibility, Archival, Configuration, ConfigurationBuilder};
use krilla::destination::XyzDestination;
use krilla::geom::{PathBuilder, Point, Rect};
use krilla::metadata::{DateTime, Metadata};
use krilla::num::NormalizedF32;
use krilla::outline::{Outline, OutlineNode};
use krilla::page::PageSettings;
use krilla::paint::{Fill, FillRule};
use krilla::surface::Surface;
use krilla::tagging::{
    Artifact, ArtifactType, ContentTag, Identifier, Node as TagNode, SpanTag, TableHeaderScope, Tag, TagGroup, TagKind,
    TagTree,
};
use krilla::{Document as Pdf, SerializeSettings};

use super::super::ExportError;
use super::super::page::Page;
use super::failed;
use super::flow::{Color, Ink, Item, Node, Role, SHEET, Tree};
use super::font::Faces;
use super::layout::Document;
use crate::base::UtcDay;

const LANGUAGE: &str = "en";
/// Of the table of lines.
const COLUMNS: u32 = 5;

/// Draws an invoice.
pub(super) fn paint(
    page: &Page,
    document: &Document,
    faces: &Faces,
    issued_on: Option<UtcDay>,
) -> Result<Vec<u8>, ExportError> {
    let settings = SerializeSettings { configuration: standards(issued_on)?, ..SerializeSettings::default() };
    let mut pdf = Pdf::new_with(settings);
    let mut leaves = vec![Vec::new(); document.tree.0.len()];
    for sheet in &document.sheets {
        let size = PageSettings::from_wh(SHEET.0, SHEET.1).ok_or_else(|| failed(&"the sheet has no size"))?;
        let mut drawn = pdf.start_page_with(size);
        let mut surface = drawn.surface();
        for item in &sheet.items {
            draw(&mut surface, item, faces, &mut leaves);
        }
        surface.finish();
        drawn.finish();
    }
    let mut outline = Outline::new();
    outline.push_child(OutlineNode::new(page.heading.clone(), XyzDestination::new(0, Point::from_xy(0.0, 0.0))));
    pdf.set_outline(outline);
    pdf.set_metadata(metadata(page, issued_on));
    pdf.set_tag_tree(structure(&document.tree, &page.heading, leaves));
    pdf.finish().map_err(|error| failed(&format!("{error:?}")))
}

fn standards(issued_on: Option<UtcDay>) -> Result<Configuration, ExportError> {
    let mut wanted = ConfigurationBuilder::new().with_accessibility_validator(Accessibility::UA1);
    if issued_on.is_some() {
        wanted = wanted.with_archival_validator(Archival::A2_A);
    }
    wanted.finish().map_err(|error| failed(&format!("{error:?}")))
}

fn metadata(page: &Page, issued_on: Option<UtcDay>) -> Metadata {
    let metadata = Metadata::new()
        .title(format!("{}: {}", page.heading, page.customer.name))
        .authors(vec![page.seller.name.clone()])
        .creator("meterlake".to_owned())
        .language(LANGUAGE.to_owned());
    let Some(date) = issued_on.map(UtcDay::date) else { return metadata };
    let year = u16::try_from(date.year()).unwrap_or_default();
    let (month, day) = (date.month() as u8, date.day() as u8);
    let midnight = DateTime::new(year).month(month).day(day).hour(0).minute(0).second(0);
    metadata.creation_date(midnight.utc_offset_hour(0).utc_offset_minute(0))
}

fn draw(surface: &mut Surface<'_>, item: &Item, faces: &Faces, leaves: &mut [Vec<Identifier>]) {
    surface.set_fill(Some(ink(item.color)));
    let node = item.node.and_then(|Node(at)| leaves.get_mut(at));
    match &item.ink {
        Ink::Text(run) => {
            let span = SpanTag::empty().with_actual_text(run.actual.as_deref());
            let tag = match &node {
                Some(_) => ContentTag::Span(span),
                None => ContentTag::Artifact(Artifact::with_kind(ArtifactType::PaginationOther)),
            };
            let leaf = surface.start_tagged(tag);
            let start = Point::from_xy(item.x, item.y);
            surface.draw_glyphs(start, &run.glyphs, faces.drawn(run.style), &run.text, run.style.size, false);
            surface.end_tagged();
            if let Some(node) = node {
                node.push(leaf);
            }
        }
        Ink::Fill { width, height } => {
            let mut path = PathBuilder::new();
            if let Some(rectangle) = Rect::from_xywh(item.x, item.y, *width, *height) {
                path.push_rect(rectangle);
            }
            surface.start_tagged(ContentTag::Artifact(Artifact::with_kind(ArtifactType::Layout)));
            if let Some(path) = path.finish() {
                surface.draw_path(&path);
            }
            surface.end_tagged();
        }
    }
}

fn ink((red, green, blue): Color) -> Fill {
    Fill { paint: rgb::Color::new(red, green, blue).into(), opacity: NormalizedF32::ONE, rule: FillRule::NonZero }
}

/// The structure, from the inside out: a node comes after the one it is within.
fn structure(tree: &Tree, heading: &str, leaves: Vec<Vec<Identifier>>) -> TagTree {
    let mut groups: Vec<Vec<TagNode>> =
        leaves.into_iter().map(|leaves| leaves.into_iter().map(TagNode::from).collect()).collect();
    let mut top = Vec::new();
    for (at, (role, within)) in tree.0.iter().enumerate().rev() {
        let mut children = std::mem::take(&mut groups[at]);
        // Children were met last first.
        if matches!(role, Role::Table | Role::Head | Role::Body | Role::Row) {
            children.reverse();
        }
        let group = TagNode::Group(TagGroup::with_children(tag(*role, heading), children));
        match within {
            Some(Node(outer)) => groups[*outer].push(group),
            None => top.push(group),
        }
    }
    top.reverse();
    TagTree::from(top).with_lang(Some(LANGUAGE.to_owned()))
}

fn tag(role: Role, heading: &str) -> TagKind {
    match role {
        Role::Title => Tag::Hn(NonZeroU16::MIN, Some(heading.to_owned())).into(),
        Role::Heading(text) => Tag::Hn(NonZeroU16::MIN.saturating_add(1), Some(text.to_owned())).into(),
        Role::Paragraph => Tag::P.into(),
        Role::Table => Tag::Table.into(),
        Role::Head => Tag::THead.into(),
        Role::Body => Tag::TBody.into(),
        Role::Row => Tag::TR.into(),
        Role::ColumnHead => Tag::TH(TableHeaderScope::Column).into(),
        Role::RowHead => Tag::TH(TableHeaderScope::Row).into(),
        Role::SectionHead => Tag::TH(TableHeaderScope::Row).with_col_span(NonZeroU32::new(COLUMNS)).into(),
        Role::Cell => Tag::TD.into(),
    }
}
