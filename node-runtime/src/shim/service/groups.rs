//! The group 0 that containerd writes into every config, taken out on Windows before the launch plan reads it.
//!
//! containerd repeats a user's first group among the additional ones on every system (`ensureAdditionalGids` of its package
//! `oci`), and that group is 0 where there are none. A number that somebody asked for stays, and is refused by name.

use serde_json::Value;

use super::config::json;
use super::failure::Failure;

const GROUPS: &str = "additionalGids";

/// The config of a container without that group.
pub(super) fn container(document: Vec<u8>) -> Result<Vec<u8>, Failure> {
    without_group(document, "/process/user")
}

/// The same of a process that is added.
pub(super) fn process(document: &[u8]) -> Result<Vec<u8>, Failure> {
    without_group(document.to_vec(), "/user")
}

/// Takes the group from the user at this place of the document.
fn without_group(document: Vec<u8>, place: &str) -> Result<Vec<u8>, Failure> {
    let mut whole: Value = serde_json::from_slice(&document).map_err(json)?;
    match whole.pointer_mut(place).and_then(Value::as_object_mut) {
        Some(user) if user.get(GROUPS).is_some_and(is_zero_only) => {
            user.remove(GROUPS);
            serde_json::to_vec(&whole).map_err(json)
        }
        // What says nothing of it keeps its bytes: the launch plan names the line of a mistake.
        Some(_) | None => Ok(document),
    }
}

fn is_zero_only(groups: &Value) -> bool {
    let groups = groups.as_array();
    groups.is_some_and(|all| all.iter().all(|one| one.as_u64() == Some(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_0_of_containerd_is_taken_out_and_no_other() {
        let text = |groups: &str| {
            format!(r#"{{"process":{{"user":{{"additionalGids":{groups},"username":"a"}}}}}}"#)
        };
        let after = container(text("[0]").into_bytes()).unwrap();
        assert_eq!(after, br#"{"process":{"user":{"username":"a"}}}"#);
        for asked in ["[0,5]", "[5]", "7"] {
            let before = text(asked).into_bytes();
            assert_eq!(container(before.clone()).unwrap(), before);
        }
        let added = process(br#"{"user":{"additionalGids":[0]}}"#).unwrap();
        assert_eq!(added, br#"{"user":{}}"#);
    }

    #[test]
    fn a_config_that_names_no_groups_keeps_its_bytes() {
        for text in [
            " { } ",
            "[1]",
            r#"{"process": 3}"#,
            r#"{"process":{"user":{}}}"#,
        ] {
            let before = text.as_bytes().to_vec();
            assert_eq!(container(before.clone()).unwrap(), before);
        }
        assert!(container(b"{".to_vec()).is_err());
    }
}
