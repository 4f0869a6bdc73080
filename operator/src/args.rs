//! The command line of `hosttask-operator`.

use std::time::Duration;

use clap::Parser;
use jiff::SignedDuration;

use crate::client::Limits;
use crate::leader::{Timing, TimingError};
use crate::server::Bind;

/// Turns `WindowsHostTask` objects into HostProcess DaemonSets and Jobs.
///
/// The cluster is the one `KUBECONFIG` or ~/.kube/config names, else the one the pod runs in.
///
/// Exit codes: 0 after SIGTERM or SIGINT; 1 when it cannot start (no cluster, a port is taken); 2 for wrong arguments; 3 when
/// it lost the leadership; 4 when one of its parts ended by itself, which is a defect.
#[derive(Clone, Debug, Parser)]
#[command(name = "hosttask-operator", version, verbatim_doc_comment)]
pub struct Args {
    /// Work only while holding a Lease, so that several replicas can run.
    #[arg(long)]
    pub leader_elect: bool,
    /// The namespace of the Lease [default: the one the operator runs in]
    #[arg(long, value_name = "NAMESPACE")]
    pub leader_election_namespace: Option<String>,
    /// The name of the Lease
    #[arg(long, value_name = "NAME", default_value = "hosttask-operator")]
    pub lease_name: String,
    /// How long a Lease that is not renewed keeps other replicas out
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    pub lease_duration: Duration,
    /// How long the leader goes on without a successful renewal
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub renew_deadline: Duration,
    /// The pause between two looks at the Lease
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub retry_period: Duration,
    /// Where /healthz and /readyz are served; 0 for nowhere
    #[arg(long, value_name = "ADDRESS", default_value = ":8081")]
    pub health_probe_bind_address: Bind,
    /// Where /metrics is served; 0 for nowhere
    #[arg(long, value_name = "ADDRESS", default_value = ":8080")]
    pub metrics_bind_address: Bind,
    /// Work on the tasks of this namespace only
    #[arg(long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// How many tasks and ledgers are worked on at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub max_concurrent_reconciles: u16,
    /// On how many nodes all tasks together may work at once; 0 for as many as they like
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_disrupted_nodes: u32,
    /// How many requests per second the API server gets on average, without watches; 0 for no limit
    #[arg(long, value_name = "N", default_value_t = 50.0, value_parser = rate)]
    pub qps: f64,
    /// How many requests may be sent at once after a pause
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub burst: u32,
    /// The form of the log lines
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
    /// What is logged: error, warn, info, debug or trace, or a filter such as `info,hosttask_operator::leader=debug`
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log_level: String,
}

/// The form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

impl Args {
    /// The timing of the election.
    pub fn timing(&self) -> Result<Timing, TimingError> {
        let timing = Timing {
            lease_duration: self.lease_duration,
            renew_deadline: self.renew_deadline,
            retry_period: self.retry_period,
        };
        timing.check()
    }

    /// The rate of requests.
    pub fn limits(&self) -> Limits {
        Limits {
            per_second: self.qps,
            burst: self.burst,
        }
    }
}

/// `15s`, `1m30s`, `500ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let signed: SignedDuration = text
        .parse()
        .map_err(|error| format!("{error}: write 15s or 1m30s"))?;
    Duration::try_from(signed).map_err(|_| "it must not be negative".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate >= 0.0 => Ok(rate),
        _ => Err("it must be a number of at least 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from([&["hosttask-operator"], words].concat())
    }

    #[test]
    fn without_arguments_the_documented_defaults_hold() {
        let args = parse(&[]).unwrap();
        assert_eq!(args.timing(), Ok(Timing::default()));
        assert_eq!(
            args.limits(),
            Limits {
                per_second: 50.0,
                burst: 100
            }
        );
        assert_eq!(
            (args.health_probe_bind_address, args.metrics_bind_address),
            (Bind::Any(8081), Bind::Any(8080))
        );
        assert_eq!(
            (
                args.max_concurrent_reconciles,
                args.max_disrupted_nodes,
                args.leader_elect,
                args.log_format
            ),
            (4, 0, false, LogFormat::Json)
        );
    }

    #[test]
    fn the_arguments_of_the_shipped_deployment_are_understood() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../config/operator/deployment.yaml"
        );
        let deployment: serde_json::Value =
            serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let words: Vec<_> = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|word| word.as_str().unwrap())
            .collect();
        let args = parse(&words).unwrap();
        assert!(args.leader_elect, "two replicas need it");
        assert_eq!(
            args.leader_election_namespace.as_deref(),
            Some("hosttask-system")
        );
    }

    #[test]
    fn nonsense_is_refused_with_what_to_write_instead() {
        for (words, hint) in [
            (["--lease-duration", "soon"], "write 15s"),
            (["--qps", "many"], "at least 0"),
            (["--metrics-bind-address", "8080"], ":PORT"),
            (["--max-concurrent-reconciles", "0"], "1..=64"),
        ] {
            let error = parse(&words).unwrap_err().to_string();
            assert!(error.contains(hint), "{error}");
        }
    }
}
