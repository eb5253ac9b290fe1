//! HTML and PDF print the figures of the invoice, all of them, and stand what [`hard`] gives them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::super::invoice::{Invoice, Line, LineKind};
use super::html::Html;
use super::pdf::Pdf;
use super::{Export, ExportFile, Statement, hard, sample};
use crate::base::Nanos;

fn text(file: &ExportFile) -> &str {
    std::str::from_utf8(&file.bytes).unwrap()
}

/// A printed number as other formats write it.
fn plain(printed: &str) -> String {
    printed.replace('\u{2212}', "-").replace(['\u{202F}', '\u{2009}'], "").replace('\u{a0}', " ")
}

fn between<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    let start = text.find(from).unwrap_or_else(|| panic!("no {from}")) + from.len();
    &text[start..start + text[start..].find(to).unwrap_or_else(|| panic!("no {to}"))]
}

fn is_tax(line: &&Line) -> bool {
    line.key.kind == LineKind::Tax
}

/// What stands at the end of the sums: before tax, each tax, the total, as text.
fn sums(invoice: &Invoice) -> Vec<String> {
    let amount = |amount: Nanos| amount.text(invoice.currency.places);
    let total = format!("{} {}", invoice.currency.code, amount(invoice.total().unwrap()));
    let taxes = invoice.lines.iter().filter(is_tax).map(|line| amount(line.amount));
    std::iter::once(amount(invoice.subtotal().unwrap())).chain(taxes).chain([total]).collect()
}

#[test]
fn html_prints_every_figure() {
    for (name, statement) in hard::all() {
        for (invoice, file) in statement.invoices.iter().zip(Html.files(&statement).unwrap()) {
            let html = text(&file);
            for line in invoice.lines.iter().filter(|line| !is_tax(line)) {
                let row = between(html, &format!("<td class=\"no\">{}</td>", line.line), "</tr>");
                let cells: Vec<&str> = row.split("<td class=\"n\">").skip(1).collect();
                let cell = |at: usize| plain(cells[at].split("</td>").next().unwrap());
                assert_eq!(cell(2), line.amount.text(invoice.currency.places), "{name} {}", line.line);
                assert_eq!(cell(0), line.quantity.map(|quantity| quantity.to_string()).unwrap_or_default(), "{name}");
                let price = cell(1).split('<').next().unwrap().to_owned();
                let whole = line.unit_price.map(|price| price.to_string().split('.').next().unwrap().to_owned());
                assert_eq!(price, whole.unwrap_or_default(), "{name}");
            }
            let table = between(html, "<table class=\"sums\">", "</table>");
            let printed: Vec<String> = table
                .split("<td class=\"n\">")
                .skip(1)
                .map(|cell| plain(cell.split("</td>").next().unwrap()))
                .collect();
            assert_eq!(printed, sums(invoice), "{name}");
        }
    }
}

/// What `pdftotext` of poppler reads; none where there is no such program.
fn read_back(file: &ExportFile) -> Option<String> {
    let mut command = Command::new("pdftotext");
    command.args(["-layout", "-enc", "UTF-8", "-", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().ok()?;
    let mut input = child.stdin.take().unwrap();
    let bytes = file.bytes.clone();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{}", file.name);
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
#[expect(clippy::print_stderr, reason = "says why nothing was tested")]
fn pdf_prints_every_figure() {
    for (name, statement) in hard::all() {
        for (invoice, file) in statement.invoices.iter().zip(Pdf.files(&statement).unwrap()) {
            let Some(read) = read_back(&file) else {
                eprintln!("skipped: there is no pdftotext");
                return;
            };
            // The space between groups of digits reads as any other, so spaces do not count.
            let lines: Vec<(Option<&str>, String)> = read
                .lines()
                .map(|line| (line.split_whitespace().next(), plain(&line.replace(char::is_whitespace, ""))))
                .collect();
            for line in invoice.lines.iter().filter(|line| !is_tax(line)) {
                let number = line.line.to_string();
                let figures = [
                    line.quantity.map(|quantity| quantity.to_string()),
                    line.unit_price.map(|price| exact(price, invoice)),
                    Some(line.amount.text(invoice.currency.places)),
                ];
                let figures: String = figures.into_iter().flatten().collect();
                let is_it = |line: &&(Option<&str>, String)| line.0 == Some(&number) && line.1.ends_with(&figures);
                assert_eq!(lines.iter().filter(is_it).count(), 1, "{name} line {number}: {figures}\n{read}");
            }
            for sum in sums(invoice) {
                let sum = sum.replace(' ', "");
                assert!(lines.iter().any(|line| line.1.ends_with(&sum)), "{name}: {sum}\n{read}");
            }
        }
    }
}

/// A price with the places it needs, at least the currency's.
fn exact(price: Nanos, invoice: &Invoice) -> String {
    let all = price.text(9);
    let (whole, places) = all.split_once('.').unwrap();
    let places = places.trim_end_matches('0');
    let places = format!("{places:0<width$}", width = invoice.currency.places as usize);
    if places.is_empty() { whole.to_owned() } else { format!("{whole}.{places}") }
}

#[test]
#[expect(clippy::print_stderr, reason = "says why nothing was tested")]
fn pdf_says_what_its_font_cannot_draw() {
    let files = Pdf.files(&sample::statement()).unwrap();
    let Some(read) = read_back(&files[1]) else {
        eprintln!("skipped: there is no pdftotext");
        return;
    };
    assert!(read.contains("株式会社東京クライアント"), "{read}");
}

#[test]
fn the_sample_as_html() {
    let body = |file: &ExportFile| between(text(file), "<body>", "</body>").to_owned();
    let issued = Html.files(&sample::statement()).unwrap();
    let preview = Html.files(&sample::preview()).unwrap();
    insta::assert_snapshot!("html_invoice", body(&issued[0]));
    insta::assert_snapshot!("html_credit_note", body(&issued[2]));
    insta::assert_snapshot!("html_preview", body(&preview[1]));
}

#[test]
fn files_are_named_after_the_number_or_the_customer() {
    let names = |statement: &Statement, format: &dyn Export| -> Vec<String> {
        format.files(statement).unwrap().into_iter().map(|file| file.name).collect()
    };
    assert_eq!(names(&sample::statement(), &Html), ["2026-0012.html", "2026-0013.html", "2026-0014.html"]);
    assert_eq!(names(&sample::preview(), &Html), ["acme-EUR.html", "tokyo-JPY.html", "gulf-KWD.html"]);
    assert_eq!(names(&sample::statement(), &Pdf), ["2026-0012.pdf", "2026-0013.pdf", "2026-0014.pdf"]);
    assert_eq!(names(&sample::preview(), &Pdf), ["acme-EUR.pdf", "tokyo-JPY.pdf", "gulf-KWD.pdf"]);
}

#[test]
fn hostile_text_stays_text() {
    let files = Html.files(&hard::hostile()).unwrap();
    let html = text(&files[0]).to_lowercase();
    assert!(!html.contains("<script") && html.contains("&lt;script&gt;"));
    assert_eq!(html.matches("</style>").count(), 1);
    assert_eq!(html.matches("<title").count(), html.matches("</title>").count());
    assert!(!html.contains(|c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')));
    assert!(!html.contains(|c: char| c.is_control() && c != '\n'));
    for outside in ["src=", "href=", "url(", "@import", "http://", "https://"] {
        assert!(!html.contains(outside), "{outside}");
    }
}

#[test]
fn a_preview_says_so_and_a_credit_note_too() {
    let contains = |file: &ExportFile, wanted: &str| text(file).contains(wanted);
    let (issued, preview) = (Html.files(&sample::statement()).unwrap(), Html.files(&sample::preview()).unwrap());
    assert!(preview.iter().all(|file| contains(file, "PREVIEW: not an invoice")));
    assert!(!issued.iter().any(|file| contains(file, "PREVIEW")));
    assert!(contains(&issued[2], "<h1>Credit note<small>2026-0014</small></h1>"));
}

#[test]
fn equal_invoices_give_equal_bytes_without_the_time() {
    let (first, second) = (Pdf.files(&sample::statement()).unwrap(), Pdf.files(&sample::statement()).unwrap());
    assert_eq!(first, second);
    let holds =
        |file: &ExportFile, wanted: &str| file.bytes.windows(wanted.len()).any(|bytes| bytes == wanted.as_bytes());
    let preview = Pdf.files(&sample::preview()).unwrap();
    // Issued on 3 November 2026, whenever the file is made; a preview has no date.
    assert!(holds(&first[0], "D:20261103000000") && !holds(&preview[0], "CreationDate"));
    // Archives and readers aloud are told which standards it follows.
    assert!(holds(&first[0], "pdfaid:part") && holds(&first[0], "pdfuaid:part") && !holds(&preview[0], "pdfaid:part"));
}
