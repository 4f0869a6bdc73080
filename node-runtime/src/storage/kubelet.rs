//! `storage::kubelet`: which folders of the kubelet are written by it alone.

use crate::storage::path::key;
use crate::sys::Rules;

/// The volumes that the kubelet fills, and writes anew when their objects change.
const FILLED: [&str; 4] = ["configmap", "secret", "projected", "downward-api"];

/// Whether a path is that of a volume, or of something in it, that the kubelet fills for one pod: a `ConfigMap`, a `Secret`,
/// a token. What a program writes there it writes for its own pod alone, and the kubelet puts it right again.
///
/// Such volumes are always mounted read-only, asked for or not, so that no pod could start where nothing is read-only.
pub(crate) fn is_filled(names: &[&str], rules: Rules) -> bool {
    let is = |name: &str, expected: &str| match rules {
        Rules::Windows => key(name) == key(expected),
        Rules::Posix => name == expected,
    };
    let fills = |plugin: &str| {
        FILLED
            .iter()
            .any(|it| is(plugin, &format!("kubernetes.io~{it}")))
    };
    // …\pods\<uid>\volumes\kubernetes.io~<plugin>\<name>, and what is in it.
    names.windows(5).any(|part| match part {
        [pods, _uid, volumes, plugin, _name] => {
            is(pods, "pods") && is(volumes, "volumes") && fills(plugin)
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_volumes_that_the_kubelet_fills_for_one_pod_are_its_own() {
        let is = |path: &str| {
            let names: Vec<_> = path.split('/').collect();
            is_filled(&names, Rules::Windows)
        };
        for plugin in FILLED {
            let volume = format!("var/lib/kubelet/pods/uid/volumes/kubernetes.io~{plugin}/v");
            assert!(is(&volume), "{volume}");
            assert!(is(&format!("{volume}/..2026_11_22/key")), "{volume}");
        }
        assert!(is("k/PODS/uid/Volumes/Kubernetes.IO~Secret/v"));
        let others = [
            "var/lib/kubelet/pods/uid/volumes/kubernetes.io~empty-dir/v",
            "var/lib/kubelet/pods/uid/volumes/kubernetes.io~csi/v",
            "var/lib/kubelet/pods/uid/volumes/kubernetes.io~secret",
            "var/lib/kubelet/pods/uid/containers/kubernetes.io~secret/v",
            "volumes/kubernetes.io~secret/v",
            "etc/app",
        ];
        for other in others {
            assert!(!is(other), "{other}");
        }
    }
}
