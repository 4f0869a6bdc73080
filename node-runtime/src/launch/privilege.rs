//! `privilege`: the names of privileges that can be removed from a token.

use std::collections::BTreeSet;

/// Every privilege of Windows, by "Privilege Constants" of Microsoft's documentation. A name that is mistyped must be found here:
/// Windows would say nothing, and the privilege would stay.
const NAMES: [&str; 36] = [
    "SeAssignPrimaryTokenPrivilege",
    "SeAuditPrivilege",
    "SeBackupPrivilege",
    "SeChangeNotifyPrivilege",
    "SeCreateGlobalPrivilege",
    "SeCreatePagefilePrivilege",
    "SeCreatePermanentPrivilege",
    "SeCreateSymbolicLinkPrivilege",
    "SeCreateTokenPrivilege",
    "SeDebugPrivilege",
    "SeDelegateSessionUserImpersonatePrivilege",
    "SeEnableDelegationPrivilege",
    "SeImpersonatePrivilege",
    "SeIncreaseBasePriorityPrivilege",
    "SeIncreaseQuotaPrivilege",
    "SeIncreaseWorkingSetPrivilege",
    "SeLoadDriverPrivilege",
    "SeLockMemoryPrivilege",
    "SeMachineAccountPrivilege",
    "SeManageVolumePrivilege",
    "SeProfileSingleProcessPrivilege",
    "SeRelabelPrivilege",
    "SeRemoteShutdownPrivilege",
    "SeRestorePrivilege",
    "SeSecurityPrivilege",
    "SeShutdownPrivilege",
    "SeSyncAgentPrivilege",
    "SeSystemEnvironmentPrivilege",
    "SeSystemProfilePrivilege",
    "SeSystemtimePrivilege",
    "SeTakeOwnershipPrivilege",
    "SeTcbPrivilege",
    "SeTimeZonePrivilege",
    "SeTrustedCredManAccessPrivilege",
    "SeUndockPrivilege",
    "SeUnsolicitedInputPrivilege",
];

/// The names of a list with commas, in any case, in the system's spelling; or the first that is none.
pub(super) fn parse(list: &str) -> Result<BTreeSet<String>, &str> {
    let names = list.split(',').map(str::trim);
    names
        .map(|name| {
            let known = NAMES.iter().find(|known| known.eq_ignore_ascii_case(name));
            known.map(|&known| known.to_owned()).ok_or(name)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_in_any_case_and_a_mistyped_one_is_not() {
        let names = parse("sedebugprivilege, SeTcbPrivilege,SeDebugPrivilege").unwrap();
        let expected = ["SeDebugPrivilege", "SeTcbPrivilege"].map(str::to_owned);
        assert_eq!(names, BTreeSet::from(expected));
        assert_eq!(parse("SeTcbPrivilege,SeDebug"), Err("SeDebug"));
        assert_eq!(parse(""), Err(""));
        assert!(NAMES.is_sorted());
    }
}
