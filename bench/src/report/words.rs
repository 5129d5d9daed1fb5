//! Rows in words: the cells of a line, and tables of them as documents have them.

use crate::figure::{Bar, Figure, Row};

/// Name, floor, gateway, ratio and bar.
pub(super) fn cells(row: &Row) -> [String; 5] {
    let floor = row.floor.as_ref().map(|figure| shown(figure, row.unit));
    let ratio = row
        .ratio
        .as_ref()
        .map(|ratio| format!("{:.2}", ratio.median));
    [
        row.name.clone(),
        floor.unwrap_or_default(),
        shown(&row.gateway, row.unit),
        ratio.unwrap_or_default(),
        verdict(row),
    ]
}

/// All rows as Markdown.
pub(super) fn table(rows: &[Row], beside: &str) -> String {
    let head =
        format!("| | {beside} | gateway | ratio | bar |\n| --- | ---: | ---: | ---: | --- |\n");
    let lines = rows.iter().map(|row| {
        let [name, floor, gateway, ratio, bar] = cells(row);
        format!(
            "| {}: {name} | {floor} | {gateway} | {ratio} | {bar} |\n",
            row.group
        )
    });
    lines.fold(head, |table, line| table + &line)
}

/// The headline rows as Markdown: the medians of the gateway, and of what it is measured beside if that has a name.
pub(super) fn headlines(rows: &[Row], beside: Option<&str>) -> String {
    let (name, line) = match beside {
        Some(beside) => (format!("{beside} | "), " ---: |"),
        None => (String::new(), ""),
    };
    let head = format!("| | {name}Tidegate |\n| --- |{line} ---: |\n");
    let headlines = rows.iter().filter(|row| row.headline);
    let lines = headlines.map(|row| {
        let median = |figure: &Figure| format!("{} {}", number(figure.median), row.unit);
        let floor = row.floor.as_ref().filter(|_| beside.is_some());
        let floor = floor.map(|figure| format!("{} | ", median(figure)));
        let (floor, gateway) = (floor.unwrap_or_default(), median(&row.gateway));
        format!("| {} | {floor}{gateway} |\n", row.name)
    });
    lines.fold(head, |table, line| table + &line)
}

fn shown(figure: &Figure, unit: &str) -> String {
    let Figure {
        median,
        least,
        most,
        rounds,
    } = figure;
    let [median, least, most] = [median, least, most].map(|value| number(*value));
    let spread = if rounds.len() > 1 {
        format!(" ({least}–{most})")
    } else {
        String::new()
    };
    format!("{median} {unit}{spread}")
}

/// As many digits as say something.
fn number(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || magnitude >= 100.0 {
        format!("{value:.0}")
    } else if magnitude >= 10.0 {
        format!("{value:.1}")
    } else if magnitude >= 0.1 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    }
}

fn verdict(row: &Row) -> String {
    let bar = match row.bar {
        None => return String::new(),
        Some(Bar::AtLeast(least)) => format!("≥ {least}"),
        Some(Bar::AtMost(most)) => format!("≤ {most}"),
    };
    let holds = row.holds() == Some(true);
    format!("{bar} {}", if holds { "holds" } else { "**missed**" })
}
