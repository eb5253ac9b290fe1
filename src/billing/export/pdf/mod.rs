//! One PDF per invoice: A4, fonts embedded, text that can be searched, copied and listened to. It is written as
//! PDF/UA-1, and as PDF/A-2a where the invoice is issued: an archive wants a date, and a preview has none. Bytes depend
//! on the invoice only.

mod flow;
mod font;
mod layout;
mod paint;

use super::page::Page;
use super::{Export, ExportError, ExportFile, Statement};

/// The format `pdf`.
#[derive(Clone, Copy, Debug)]
pub struct Pdf;

impl Export for Pdf {
    fn name(&self) -> &'static str {
        "pdf"
    }

    fn files(&self, statement: &Statement) -> Result<Vec<ExportFile>, ExportError> {
        let faces = font::Faces::new()?;
        let mut files = Vec::with_capacity(statement.invoices.len());
        for invoice in &statement.invoices {
            let page = Page::of(invoice)?;
            let document = layout::lay_out(&page, &faces);
            let bytes = paint::paint(&page, &document, &faces, invoice.issued_on)?;
            files.push(ExportFile { name: format!("{}.pdf", page.stem), bytes });
        }
        Ok(files)
    }
}

fn failed(problem: &impl std::fmt::Display) -> ExportError {
    ExportError::Failed { format: "pdf", problem: problem.to_string() }
}
