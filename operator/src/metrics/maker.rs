//! Registers metrics, and writes down what the reference page says of them.

use prometheus_client::encoding::EncodeMetric;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

/// One metric, for the reference page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The name as it is scraped.
    pub name: String,
    /// counter, gauge or histogram.
    pub kind: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it counts.
    pub help: &'static str,
}

/// Registers metrics and writes their descriptions down.
#[derive(Default)]
pub(super) struct Maker {
    pub(super) registry: Registry,
    pub(super) descriptions: Vec<Description>,
}

impl Maker {
    pub(super) fn add<M: Metric + EncodeMetric + Clone>(
        &mut self,
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
        metric: M,
    ) -> M {
        let (kind, suffix) = match metric.metric_type() {
            MetricType::Counter => ("counter", "_total"),
            MetricType::Histogram => ("histogram", ""),
            MetricType::Gauge | MetricType::Info | MetricType::Unknown => ("gauge", ""),
        };
        self.descriptions.push(Description {
            name: format!("{name}{suffix}"),
            kind,
            labels,
            help,
        });
        self.registry.register(name, help, metric.clone());
        metric
    }
}

/// The buckets of controller-runtime's reconcile time, in seconds.
pub(super) fn pass_buckets() -> Histogram {
    Histogram::new([
        0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8,
        0.9, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0,
        15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 60.0,
    ])
}

/// The buckets of controller-runtime's work queue, in seconds.
pub(super) fn queue_buckets() -> Histogram {
    Histogram::new([
        1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1_000.0,
    ])
}
