//! Text as glyphs: which glyph stands where, how wide it is, where a line ends. A character that the fonts lack becomes
//! a replacement mark; what it was stays with the run, for those who copy or listen.

use std::ops::Range;

use harfrust::{Direction, Feature, FontRef, ShapeOptions, ShapePlan, ShaperData, Tag, UnicodeBuffer, script};
use krilla::text::{Font, GlyphId, KrillaGlyph};

use super::super::ExportError;
use super::failed;

const REGULAR: &[u8] = include_bytes!("../fonts/Roboto-Regular.ttf");
const BOLD: &[u8] = include_bytes!("../fonts/Roboto-Bold.ttf");
/// Shown for what the fonts lack.
const MARK: &str = "\u{FFFD}";
/// Between groups of digits. The fonts draw it as wide as any space; here it is thin.
const NARROW: char = '\u{202F}';
const THIN: f32 = 0.16;
/// Ends a text that was cut.
const ELLIPSIS: char = '…';

/// A weight and a size in points.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Style {
    pub(super) is_bold: bool,
    pub(super) size: f32,
}

/// Regular text of a size.
pub(super) const fn regular(size: f32) -> Style {
    Style { is_bold: false, size }
}

/// Bold text of a size.
pub(super) const fn bold(size: f32) -> Style {
    Style { is_bold: true, size }
}

/// One line of text in one style.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// As drawn.
    pub(super) text: String,
    /// What it says, where some of it cannot be drawn.
    pub(super) actual: Option<String>,
    pub(super) style: Style,
    pub(super) glyphs: Vec<KrillaGlyph>,
    /// In points.
    pub(super) width: f32,
}

/// The fonts.
pub(super) struct Faces {
    regular: Face,
    bold: Face,
}

struct Face {
    font: FontRef<'static>,
    data: ShaperData,
    /// For figures and for text.
    plans: [ShapePlan; 2],
    drawn: Font,
}

impl Faces {
    /// The fonts that come with the program.
    pub(super) fn new() -> Result<Self, ExportError> {
        Ok(Self { regular: Face::new(REGULAR)?, bold: Face::new(BOLD)? })
    }

    /// The font to draw a style with.
    pub(super) fn drawn(&self, style: Style) -> Font {
        self.of(style).drawn.clone()
    }

    fn of(&self, style: Style) -> &Face {
        if style.is_bold { &self.bold } else { &self.regular }
    }

    /// A text on one line, however wide.
    pub(super) fn run(&self, text: &str, style: Style) -> Run {
        self.set(text, style, true)
    }

    /// A number on one line: every digit as wide as any other.
    pub(super) fn figures(&self, text: &str, style: Style) -> Run {
        self.set(text, style, false)
    }

    /// A text on one line, cut where it is wider than `width`.
    pub(super) fn cut(&self, text: &str, style: Style, width: f32) -> Run {
        let run = self.run(text, style);
        if run.width <= width {
            return run;
        }
        let room = width - self.run(&ELLIPSIS.to_string(), style).width;
        let first = run.lines(room).into_iter().next().unwrap_or(0..0);
        self.run(&format!("{}{ELLIPSIS}", run.text[first].trim_end()), style)
    }

    /// A text on as many lines as it needs; words wider than a line are broken. At least one line.
    pub(super) fn wrap(&self, text: &str, style: Style, width: f32) -> Vec<Run> {
        let run = self.run(text, style);
        if run.width <= width {
            return vec![run];
        }
        if let Some(actual) = &run.actual {
            // Where a mark stands for more than one character, lines are counted in what is drawn: the words stay with
            // the first.
            let mut lines: Vec<Run> =
                run.lines(width).into_iter().map(|line| self.run(run.text[line].trim_end(), style)).collect();
            let spoken = std::iter::once(actual.clone()).chain(std::iter::repeat(String::new()));
            lines.iter_mut().zip(spoken).for_each(|(line, spoken)| line.actual = Some(spoken));
            return lines;
        }
        run.lines(width).into_iter().map(|line| self.run(run.text[line].trim_end(), style)).collect()
    }

    fn set(&self, text: &str, style: Style, kerned: bool) -> Run {
        let face = self.of(style);
        let glyphs = face.shape(text, kerned);
        let Some(drawable) = without_missing(text, &glyphs) else {
            return Run::new(text.to_owned(), None, style, glyphs);
        };
        let glyphs = face.shape(&drawable, kerned);
        Run::new(drawable, Some(text.to_owned()), style, glyphs)
    }
}

impl Face {
    fn new(bytes: &'static [u8]) -> Result<Self, ExportError> {
        let font = FontRef::new(bytes).map_err(|error| failed(&error))?;
        let drawn = Font::new(bytes.into(), 0).ok_or_else(|| failed(&"the font cannot be read"))?;
        let data = ShaperData::new(&font);
        let plans = [false, true].map(|kerned| {
            let shaper = data.shaper(&font).build();
            ShapePlan::new(&shaper, Direction::LeftToRight, Some(script::LATIN), None, &features(kerned))
        });
        Ok(Self { data, plans, font, drawn })
    }

    fn shape(&self, text: &str, kerned: bool) -> Vec<KrillaGlyph> {
        let shaper = self.data.shaper(&self.font).build();
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(text);
        // What the fonts have is written from the left, without joining letters: one plan does for all of it.
        buffer.set_script(script::LATIN);
        buffer.set_direction(Direction::LeftToRight);
        let features = features(kerned);
        let plan = &self.plans[usize::from(kerned)];
        let shaped = shaper.shape(buffer, ShapeOptions::new().plan(Some(plan)).features(&features));
        let em = shaper.units_per_em() as f32;
        let advance = |start: usize, advance: f32| if text[start..].starts_with(NARROW) { THIN } else { advance };
        let (infos, positions) = (shaped.glyph_infos(), shaped.glyph_positions());
        let mut end = text.len();
        let mut glyphs: Vec<KrillaGlyph> = Vec::with_capacity(infos.len());
        // From the end, so that a glyph's text ends where the next one's begins.
        for (info, position) in infos.iter().zip(positions).rev() {
            let start = info.cluster as usize;
            end = match glyphs.last() {
                Some(next) if next.text_range.start == start => next.text_range.end,
                Some(next) => next.text_range.start,
                None => end,
            };
            glyphs.push(KrillaGlyph::new(
                GlyphId::new(info.glyph_id),
                advance(start, position.x_advance as f32 / em),
                position.x_offset as f32 / em,
                position.y_offset as f32 / em,
                position.y_advance as f32 / em,
                start..end.max(start),
                None,
            ));
        }
        glyphs.reverse();
        glyphs
    }
}

/// Figures are not kerned, and letters are not joined.
fn features(kerned: bool) -> [Feature; 2] {
    [Feature::new(Tag::new(b"kern"), kerned.into(), ..), Feature::new(Tag::new(b"liga"), 0, ..)]
}

/// The text with a mark for each cluster that has no glyph; none where all have.
fn without_missing(text: &str, glyphs: &[KrillaGlyph]) -> Option<String> {
    let is_missing = |glyph: &&KrillaGlyph| glyph.glyph_id.to_u32() == 0;
    glyphs.iter().find(is_missing)?;
    let mut drawable = String::with_capacity(text.len());
    let mut done: Range<usize> = 0..0;
    for glyph in glyphs {
        let missing = is_missing(&glyph);
        match glyph.text_range == done {
            false if missing => drawable.push_str(MARK),
            false => drawable.push_str(&text[glyph.text_range.clone()]),
            true => {}
        }
        done = glyph.text_range.clone();
    }
    Some(drawable)
}

impl Run {
    fn new(text: String, actual: Option<String>, style: Style, glyphs: Vec<KrillaGlyph>) -> Self {
        let width = glyphs.iter().map(|glyph| glyph.x_advance).sum::<f32>() * style.size;
        Self { text, actual, style, glyphs, width }
    }

    /// The width of the text before a place in it.
    pub(super) fn width_before(&self, at: usize) -> f32 {
        let before = self.glyphs.iter().take_while(|glyph| glyph.text_range.start < at);
        before.map(|glyph| glyph.x_advance).sum::<f32>() * self.style.size
    }

    /// Where the lines are, broken after spaces, or anywhere in a word that is wider than a line.
    fn lines(&self, width: f32) -> Vec<Range<usize>> {
        let mut lines = Vec::new();
        let (mut start, mut used) = (0, 0.0);
        // The glyph after the last space of the line.
        let mut after_space = None;
        let mut at = 0;
        while let Some(glyph) = self.glyphs.get(at) {
            let advance = glyph.x_advance * self.style.size;
            let is_space = &self.text[glyph.text_range.clone()] == " ";
            if used + advance > width && at > start && !is_space {
                // Never between glyphs of one cluster.
                let cluster = self.glyphs.iter().position(|other| other.text_range == glyph.text_range).unwrap_or(at);
                let end = after_space.unwrap_or(if cluster > start { cluster } else { at });
                lines.push(self.glyphs[start].text_range.start..self.glyphs[end].text_range.start);
                (start, at, used, after_space) = (end, end, 0.0, None);
                continue;
            }
            used += advance;
            at += 1;
            if is_space {
                after_space = (at < self.glyphs.len()).then_some(at);
            }
        }
        if let Some(first) = self.glyphs.get(start) {
            lines.push(first.text_range.start..self.text.len());
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_all_text_and_stay_within_the_width() {
        let faces = Faces::new().unwrap();
        for text in
            ["one two  three four", "Donaudampfschifffahrtsgesellschaft", "a", "", " ", "x ", "е\u{301}\u{301} Ωμέγα Ж"]
        {
            for width in [1.0, 20.0, 60.0] {
                let lines = faces.wrap(text, regular(9.0), width);
                let joined: String = lines.iter().flat_map(|line| line.text.chars()).filter(|c| *c != ' ').collect();
                assert_eq!(joined, text.replace(' ', ""), "{width}");
                assert!(lines.iter().all(|line| line.width <= width || line.glyphs.len() <= 3), "{text} {width}");
            }
        }
    }

    #[test]
    fn what_the_font_lacks_is_a_mark_and_still_says_what_it_is() {
        let faces = Faces::new().unwrap();
        let run = faces.run("A 株 é ₽", bold(9.0));
        assert_eq!(run.text, "A \u{FFFD} é ₽");
        assert_eq!(run.actual.as_deref(), Some("A 株 é ₽"));
        assert_eq!(faces.run("Ελληνικά Русский Ångström ₹ € ₺", regular(9.0)).actual, None);
    }

    #[test]
    fn all_digits_are_of_one_width() {
        let faces = Faces::new().unwrap();
        for style in [regular(9.0), bold(9.0)] {
            let width = |text: &str| faces.figures(text, style).width;
            assert!("0123456789".chars().all(|digit| (width(&digit.to_string()) - width("0")).abs() < 0.001));
            assert!((width("1117.71") - width("0000.00")).abs() < 0.001);
        }
    }
}
