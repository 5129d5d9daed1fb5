//! Plots of the rows, as SVG whose texts are texts: no font is needed to draw them.

use std::{fs, path::Path};

use plotters::prelude::*;

use crate::figure::{Bar, Row};

/// The line of one row.
struct Line {
    name: String,
    ratio: f64,
    bar: f64,
    holds: bool,
}

const HOLDS: RGBColor = RGBColor(34, 110, 160);
const MISSES: RGBColor = RGBColor(205, 95, 40);

/// In pixels.
const WIDTH: u32 = 860;
const LINE: u32 = 24;
const NAMES: u32 = 360;
const AROUND: u32 = 90;
const GAP: u32 = 5;

/// Draws one plot of the rows that should reach the floor, and one of those that should stay low.
pub(super) fn draw(rows: &[Row], directory: &Path) {
    let (shares, times): (Vec<Row>, Vec<Row>) = rows
        .iter()
        .cloned()
        .partition(|row| matches!(row.bar, Some(Bar::AtLeast(_))));
    let title = "Throughput as a share of the floor's, with the bar to reach";
    chart(&directory.join("throughput.svg"), title, &shares);
    let title =
        "Latency and cost as multiples of what they are compared with, with the bar to stay below";
    chart(&directory.join("latency.svg"), title, &times);
}

/// A line for each row that has a ratio and a bar, the first one on top.
pub(super) fn chart(path: &Path, title: &str, rows: &[Row]) {
    let lines: Vec<Line> = rows.iter().filter_map(Line::of).collect();
    if !lines.is_empty() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        plot(path, title, &lines);
    }
}

impl Line {
    fn of(row: &Row) -> Option<Self> {
        let (bar, ratio) = (row.bar?, row.ratio.as_ref()?);
        let (Bar::AtLeast(limit) | Bar::AtMost(limit)) = bar;
        Some(Self {
            name: format!("{}: {}", row.group, row.title()),
            ratio: ratio.median,
            bar: limit,
            holds: row.holds() == Some(true),
        })
    }
}

fn plot(path: &Path, title: &str, lines: &[Line]) {
    let count = lines.len();
    let height = LINE * u32::try_from(count).unwrap() + AROUND;
    let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE).unwrap();
    let widest = lines.iter().map(|line| line.ratio.max(line.bar));
    let widest = widest.fold(0.0, f64::max) * 1.1;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(28)
        .y_label_area_size(NAMES)
        .build_cartesian_2d(0.0..widest, (0..count - 1).into_segmented())
        .unwrap();
    // The first line is on top.
    let name = |segment: &SegmentValue<usize>| match segment {
        SegmentValue::CenterOf(place) => lines.iter().rev().nth(*place),
        _ => None,
    };
    let label = |segment: &SegmentValue<usize>| {
        name(segment).map_or_else(String::new, |line| line.name.clone())
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(count)
        .y_label_formatter(&label)
        .label_style(("sans-serif", 13))
        .draw()
        .unwrap();
    let edges = |i: usize| {
        let above = match i {
            0 => SegmentValue::Last,
            i => SegmentValue::Exact(count - i),
        };
        (SegmentValue::Exact(count - 1 - i), above)
    };
    let bars = lines.iter().enumerate().map(|(i, line)| {
        let (low, high) = edges(i);
        let color = if line.holds { HOLDS } else { MISSES };
        let mut bar = Rectangle::new([(0.0, low), (line.ratio, high)], color.filled());
        bar.set_margin(GAP, GAP, 0, 0);
        bar
    });
    chart.draw_series(bars).unwrap();
    let ticks = lines.iter().enumerate().map(|(i, line)| {
        let (low, high) = edges(i);
        PathElement::new([(line.bar, low), (line.bar, high)], BLACK.stroke_width(2))
    });
    chart.draw_series(ticks).unwrap();
    area.present().unwrap();
}
