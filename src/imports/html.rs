//! The report as a page of its own: a treemap, drawn by the page, with nothing from elsewhere.

use super::Report;

const PAGE: &str = include_str!("page.html");

/// Where the report is put into the page.
const DATA: &str = "__REPORT__";

/// The page. Opens in any browser, from a file.
pub fn page(report: &Report) -> String {
    // Numbers, texts and lists always serialise. A `<` in them could end the script they are in.
    let data = serde_json::to_string(report).unwrap_or_default();
    PAGE.replacen(DATA, &data.replace('<', "\\u003c"), 1)
}
