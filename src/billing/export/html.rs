//! One HTML file per invoice, for screens and for paper: nothing is loaded, nothing runs. The template escapes every
//! text; what it prints comes from [`Page`].

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};

use super::chart::Chart;
use super::figures::places;
use super::page::{Page, Row};
use super::{Export, ExportError, ExportFile, Statement};

const TEMPLATE: &str = include_str!("invoice.html");
/// The ending switches the escaping on.
const NAME: &str = "invoice.html";

/// The format `html`.
#[derive(Clone, Copy, Debug)]
pub struct Html;

impl Export for Html {
    fn name(&self) -> &'static str {
        "html"
    }

    fn files(&self, statement: &Statement) -> Result<Vec<ExportFile>, ExportError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.add_template(NAME, TEMPLATE).map_err(|error| failed(&error))?;
        let template = environment.get_template(NAME).map_err(|error| failed(&error))?;
        let mut files = Vec::with_capacity(statement.invoices.len());
        for invoice in &statement.invoices {
            let page = Page::of(invoice)?;
            let rows = || page.sections.iter().flat_map(|section| &section.rows);
            let price_places = rows().filter_map(|row| row.unit_price.as_deref()).map(places).max().unwrap_or(0);
            let figures = figures_width(rows());
            let chart = Chart::of(invoice).map(Serde);
            let name = format!("{}.html", page.stem);
            let values = context! { page => Serde(page), chart, price_places, figures };
            let text = template.render(values).map_err(|error| failed(&error))?;
            files.push(ExportFile { name, bytes: text.into_bytes() });
        }
        Ok(files)
    }
}

/// The characters of the widest figures side by side: paper does not scroll.
fn figures_width<'r>(rows: impl Iterator<Item = &'r Row> + Clone) -> usize {
    let width = |figure: &Option<String>| figure.as_ref().map_or(0, |text| text.chars().count());
    let quantity = rows.clone().map(|row| width(&row.quantity)).max();
    let price = rows.clone().map(|row| width(&row.unit_price)).max();
    let amount = rows.map(|row| row.amount.chars().count()).max();
    [quantity, price, amount].into_iter().flatten().sum()
}

fn failed(error: &minijinja::Error) -> ExportError {
    ExportError::Failed { format: "html", problem: error.to_string() }
}
