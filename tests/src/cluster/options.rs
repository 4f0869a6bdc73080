//! What a test may choose about its cluster.

use std::time::Duration;

/// What a test may choose about its cluster.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Requests per second of the controllers; the burst is 1.5 times that. Kubernetes' own default is
    /// [`Self::KUBERNETES_QPS`]; ours is high, so that suites wait for the operator and not for a limiter.
    pub kcm_qps: u32,
    /// How long a node may be silent until its Ready condition becomes Unknown. The default is long, so that
    /// simulated nodes need few heartbeats; tests of dead nodes choose a short one.
    pub node_monitor_grace: Duration,
    /// Whether the scheduler runs. Without it pods stay unbound.
    pub scheduler: bool,
    /// Whether the built-in controllers run. Without them a namespace gets no `default` ServiceAccount.
    pub controllers: bool,
    /// Whether the folder with data and logs stays after the end.
    pub keep: bool,
}

impl ClusterOptions {
    /// What kube-controller-manager uses when nothing else is said.
    pub const KUBERNETES_QPS: u32 = 20;
    /// High enough to never wait on this side.
    pub const FAST_QPS: u32 = 1000;
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            kcm_qps: Self::FAST_QPS,
            node_monitor_grace: Duration::from_mins(10),
            scheduler: true,
            controllers: true,
            keep: false,
        }
    }
}
