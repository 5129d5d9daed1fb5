//! Instruments with and without labels, made and registered alike. What is measured stands in the table of the parent.

use std::{borrow::Cow, time::Duration};

use prometheus_client::{
    encoding::EncodeMetric,
    metrics::{TypedMetric, counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use super::Gauge;

/// A value of a label.
pub(crate) type Label = Cow<'static, str>;

/// The limits of the buckets of all histograms, in seconds: from a commit of the embedded store to the longest wait.
const BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// A time as histograms take it.
pub(crate) fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

/// The kind of a metric, which the test of docs/metrics.md reads.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[cfg(test)]
impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    /// The name that queries use.
    pub(super) fn exported(self, name: &str) -> String {
        match self {
            Self::Counter => format!("{name}_total"),
            Self::Gauge | Self::Histogram => name.to_owned(),
        }
    }
}

/// A metric that the table of metrics can name.
pub(super) trait Instrument: Sized {
    #[cfg(test)]
    const KIND: Kind;

    fn made(labels: &[&'static str]) -> Self;

    fn register(&self, registry: &mut Registry, name: &str, help: &str);
}

impl Instrument for Counter {
    #[cfg(test)]
    const KIND: Kind = Kind::Counter;

    fn made(_: &[&'static str]) -> Self {
        Self::default()
    }

    fn register(&self, registry: &mut Registry, name: &str, help: &str) {
        registry.register(name, help, self.clone());
    }
}

impl Instrument for Gauge {
    #[cfg(test)]
    const KIND: Kind = Kind::Gauge;

    fn made(_: &[&'static str]) -> Self {
        Self::default()
    }

    fn register(&self, registry: &mut Registry, name: &str, help: &str) {
        registry.register(name, help, self.clone());
    }
}

impl Instrument for Histogram {
    #[cfg(test)]
    const KIND: Kind = Kind::Histogram;

    fn made(_: &[&'static str]) -> Self {
        Self::new(BUCKETS)
    }

    fn register(&self, registry: &mut Registry, name: &str, help: &str) {
        registry.register(name, help, self.clone());
    }
}

type LabelSet<const N: usize> = [(&'static str, Label); N];

/// A metric with a value for each set of labels.
#[derive(Debug, Clone)]
pub(crate) struct Labelled<M, const N: usize> {
    names: [&'static str; N],
    values: Family<LabelSet<N>, M, fn() -> M>,
}

impl<M: Clone, const N: usize> Labelled<M, N> {
    /// The metric for these values of the labels, in the order of their names.
    pub(crate) fn of(&self, labels: [Label; N]) -> M {
        let mut labels = labels.into_iter();
        let set = self.names.map(|name| {
            (
                name,
                labels.next().expect("there are as many values as names"),
            )
        });
        self.values.get_or_create_owned(&set)
    }

    /// Forgets all values, before those that exist now are set.
    pub(crate) fn clear(&self) {
        self.values.clear();
    }
}

impl<M, const N: usize> Instrument for Labelled<M, N>
where
    M: Instrument + EncodeMetric + TypedMetric + Clone + std::fmt::Debug + Send + Sync + 'static,
{
    #[cfg(test)]
    const KIND: Kind = M::KIND;

    fn made(labels: &[&'static str]) -> Self {
        let names: Result<[&'static str; N], _> = labels.try_into();
        Self {
            names: names.expect("the table names as many labels as the type says"),
            values: Family::new_with_constructor(|| M::made(&[])),
        }
    }

    fn register(&self, registry: &mut Registry, name: &str, help: &str) {
        registry.register(name, help, self.values.clone());
    }
}
