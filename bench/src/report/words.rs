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
        row.title(),
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

/// The medians of the headline rows as Markdown.
pub(super) fn headlines(rows: &[Row]) -> String {
    let headlines = rows.iter().filter(|row| row.headline);
    let lines = headlines.map(|row| {
        let median = median(row.gateway.median, row.unit);
        format!("| {} | {median} |\n", row.name)
    });
    lines.fold(
        "| | Tidegate |\n| --- | ---: |\n".to_owned(),
        |table, line| table + &line,
    )
}

/// The medians of the headline rows beside other servers as Markdown, with a column for each server. The gateway is
/// measured once beside each of them, and shown by the median of these.
pub(super) fn headlines_beside_servers(rows: &[Row]) -> String {
    let headlines: Vec<&Row> = rows.iter().filter(|row| row.headline).collect();
    let servers = distinct(headlines.iter().filter_map(|row| row.server));
    let columns: String = servers
        .iter()
        .map(|server| format!(" {server} |"))
        .collect();
    let rule = " ---: |".repeat(servers.len() + 1);
    let head = format!("| |{columns} Tidegate |\n| --- |{rule}\n");
    let names = distinct(headlines.iter().map(|row| row.name.as_str()));
    let lines = names.into_iter().map(|name| {
        let rows: Vec<&&Row> = headlines.iter().filter(|row| row.name == name).collect();
        let unit = rows[0].unit;
        let of = |server| rows.iter().find(|row| row.server == Some(server));
        let cells = servers.iter().map(|server| {
            let figure = of(*server).and_then(|row| row.floor.as_ref());
            let shown = figure.map(|figure| median(figure.median, unit));
            format!(" {} |", shown.unwrap_or_default())
        });
        let cells: String = cells.collect();
        let ours = Figure::of(rows.iter().map(|row| row.gateway.median));
        format!("| {name} |{cells} {} |\n", median(ours.median, unit))
    });
    lines.fold(head, |table, line| table + &line)
}

/// Each text once, in the order in which they come.
fn distinct<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<&'t str> {
    let mut distinct = Vec::new();
    for text in texts {
        if !distinct.contains(&text) {
            distinct.push(text);
        }
    }
    distinct
}

fn median(value: f64, unit: &str) -> String {
    format!("{} {unit}", number(value))
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

/// As many digits as are significant.
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
