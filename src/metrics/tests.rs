use std::collections::BTreeSet;

use super::*;

/// A metric as docs/metrics.md lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct MetricRow {
    /// Its name in queries.
    name: String,
    /// `counter`, `gauge` or `histogram`.
    kind: &'static str,
    /// The names of its labels.
    labels: &'static [&'static str],
    /// What it measures, in a sentence.
    help: &'static str,
}

/// All metrics, in the order in which docs/metrics.md lists them.
fn rows() -> Vec<MetricRow> {
    let rows = OWN.iter().chain(process::OWN);
    rows.map(|(name, kind, labels, help)| MetricRow {
        name: kind.exported(name),
        kind: kind.name(),
        labels,
        help,
    })
    .collect()
}

fn names() -> BTreeSet<String> {
    rows().into_iter().map(|row| row.name).collect()
}

#[test]
fn the_documentation_lists_exactly_what_is_measured() {
    let page = include_str!("../../docs/metrics.md");
    let documented = page.lines().filter(|line| {
        ["counter", "gauge", "histogram"]
            .iter()
            .any(|kind| line.contains(&format!("` | {kind} | ")))
    });
    let documented: Vec<String> = documented.map(str::to_owned).collect();
    let measured = rows().into_iter().map(|row| {
        let labels: Vec<String> = row
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let labels = labels.join(", ");
        format!(
            "| `{}` | {} | {labels} | {} |",
            row.name, row.kind, row.help
        )
    });
    assert_eq!(documented, measured.collect::<Vec<_>>());
}

#[test]
fn names_have_one_prefix_and_base_units() {
    for name in names() {
        assert!(
            name.starts_with("tidegate_") || name.starts_with("process_"),
            "{name}"
        );
        for unit in [
            "_ms",
            "_milliseconds",
            "_minutes",
            "_kb",
            "_mb",
            "_kib",
            "_mib",
        ] {
            assert!(!name.contains(unit), "{name}");
        }
    }
}

#[test]
fn each_metric_without_labels_is_exported_from_the_beginning() {
    let text = Metrics::new().text();
    for row in rows().iter().filter(|row| row.labels.is_empty()) {
        let kind = format!("# TYPE {} {}", row.name, row.kind);
        assert!(
            text.lines().any(|line| line == kind),
            "{kind} is not in {text}"
        );
    }
}

/// What `deploy/` asks Prometheus for.
fn asked(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("tidegate_") || word.starts_with("process_"));
    let histograms = ["_bucket", "_count", "_sum"];
    ours.map(|word| {
        let part = histograms.iter().find_map(|part| word.strip_suffix(part));
        part.filter(|name| names().contains(*name))
            .unwrap_or(word)
            .to_owned()
    })
    .collect()
}

#[test]
fn alerts_and_the_dashboard_ask_for_metrics_that_there_are() {
    let alerts = asked(include_str!("../../deploy/prometheus/alerts.yaml"));
    let dashboard = asked(include_str!("../../deploy/grafana/tidegate.json"));
    let unknown: Vec<_> = alerts
        .union(&dashboard)
        .filter(|name| !names().contains(*name))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let unseen: Vec<_> = names().difference(&dashboard).cloned().collect();
    assert!(
        unseen.is_empty(),
        "the dashboard shows nothing of {unseen:?}"
    );
    assert!(alerts.len() >= 12);
}

#[test]
fn a_reading_whose_module_is_gone_is_forgotten() {
    let metrics = Metrics::new();
    let module = Arc::new(());
    let read = Arc::downgrade(&module);
    metrics.read_at_scrape(move |metrics| {
        read.upgrade()?;
        metrics.queue_length.inc();
        Some(())
    });
    metrics.text();
    assert_eq!(metrics.queue_length.get(), 1.0);
    drop(module);
    metrics.text();
    assert_eq!(metrics.queue_length.get(), 1.0);
    assert!(metrics.readings.lock().is_empty());
}
