//! The few fields we read of each kind, decoded straight from the API server's JSON; everything else is skipped unparsed.
//!
//! Every field is optional and `null` counts as absent: what is missing is an empty value, never an error. An object fails
//! to decode only where a field we need has a value that cannot be right, such as a restart count beyond 32 bits.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use hosttask_crds::node::WindowsHostNodeStatus;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

pub use self::content::Content;

mod content;
pub mod node;
pub mod pod;

/// `null` is the default value, as for the API server.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// A time; what is no RFC 3339 time counts as absent.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.and_then(|text| text.parse().ok()))
}

/// Whether a field is there at all.
fn presence<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<IgnoredAny>::deserialize(deserializer)?.is_some())
}

/// Which keys of a label or annotation map are kept.
pub trait Filter {
    /// Whether this key is kept.
    fn keeps(key: &str) -> bool;
}

/// Keeps every key.
#[derive(Debug)]
pub struct Every;

impl Filter for Every {
    fn keeps(_: &str) -> bool {
        true
    }
}

/// Keeps our own keys and the Pod Security level: other people's annotations can be hundreds of kilobytes.
#[derive(Debug)]
pub struct Ours;

impl Filter for Ours {
    fn keeps(key: &str) -> bool {
        key.starts_with("hosttask.dev/") || key == POD_SECURITY
    }
}

/// The label with the Pod Security level of a namespace.
pub const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";

/// Labels or annotations, those that the filter keeps.
#[derive(Debug)]
pub struct Pairs<F>(pub BTreeMap<String, String>, PhantomData<F>);

impl<F> Default for Pairs<F> {
    fn default() -> Self {
        Self(BTreeMap::new(), PhantomData)
    }
}

impl<F> Pairs<F> {
    /// The value of a key, empty where it is absent.
    pub fn get(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }
}

impl<'de, F: Filter> Deserialize<'de> for Pairs<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<F>(PhantomData<F>);
        impl<'de, F: Filter> Visitor<'de> for Reader<F> {
            type Value = Pairs<F>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<F>, A::Error> {
                let mut pairs = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    if F::keeps(&key) {
                        pairs.insert(key, map.next_value::<Option<String>>()?.unwrap_or_default());
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Pairs(pairs, PhantomData))
            }
        }
        deserializer.deserialize_map(Reader(PhantomData))
    }
}

/// The metadata we read. No managedFields: they are half of every object.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound = "F: Filter")]
pub struct Meta<F = Ours> {
    /// The name.
    #[serde(default, deserialize_with = "crate::index::wire::nullable")]
    pub name: String,
    /// The namespace, empty for cluster-scoped kinds.
    #[serde(default, deserialize_with = "crate::index::wire::nullable")]
    pub namespace: String,
    /// The UID.
    #[serde(default, deserialize_with = "crate::index::wire::nullable")]
    pub uid: String,
    /// The resource version.
    #[serde(default, deserialize_with = "crate::index::wire::nullable")]
    pub resource_version: String,
    /// The generation of the spec.
    #[serde(default, deserialize_with = "crate::index::wire::nullable")]
    pub generation: i64,
    /// When it was created.
    #[serde(default, deserialize_with = "time")]
    pub creation_timestamp: Option<Timestamp>,
    /// Whether it is being deleted.
    #[serde(default, deserialize_with = "presence", rename = "deletionTimestamp")]
    pub deleting: bool,
    /// The labels that are kept.
    #[serde(default, deserialize_with = "crate::index::wire::nullable")]
    pub labels: Pairs<F>,
    /// Our own annotations.
    #[serde(default, deserialize_with = "crate::index::wire::nullable")]
    pub annotations: Pairs<Ours>,
    /// The owners.
    #[serde(default, deserialize_with = "crate::index::wire::nullable")]
    pub owner_references: Vec<OwnerReference>,
}

impl<F> Default for Meta<F> {
    fn default() -> Self {
        Self {
            name: String::new(),
            namespace: String::new(),
            uid: String::new(),
            resource_version: String::new(),
            generation: 0,
            creation_timestamp: None,
            deleting: false,
            labels: Pairs::default(),
            annotations: Pairs::default(),
            owner_references: Vec::new(),
        }
    }
}

impl<F> Meta<F> {
    /// The owner that controls the object.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller)
    }
}

/// One owner of an object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// Its kind.
    #[serde(deserialize_with = "crate::index::wire::nullable")]
    pub kind: String,
    /// Its name.
    #[serde(deserialize_with = "crate::index::wire::nullable")]
    pub name: String,
    /// Its UID.
    #[serde(deserialize_with = "crate::index::wire::nullable")]
    pub uid: String,
    /// Whether it controls the object.
    #[serde(deserialize_with = "crate::index::wire::nullable")]
    pub controller: bool,
}

macro_rules! slim {
    ($(#[$doc:meta])+ $name:ident { $($(#[doc = $about:literal])+ $(#[serde($($attribute:tt)+)])? $field:ident: $type:ty,)* }) => {
        $(#[$doc])+
        #[derive(Debug, Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {
            $($(#[doc = $about])+ #[serde(deserialize_with = "crate::index::wire::nullable" $(, $($attribute)+)?)] pub $field: $type,)*
        }
    };
}
pub(super) use slim;

slim! {
    /// A `WindowsHostTask`.
    Task {
        /// Metadata.
        metadata: Meta,
        /// The spec as stored.
        spec: Value,
        /// The status as stored.
        status: Value,
    }
}

slim! {
    /// A Namespace: only its Pod Security level is of interest.
    Namespace {
        /// Metadata.
        metadata: Meta,
    }
}

slim! {
    /// A ControllerRevision.
    Revision {
        /// Metadata.
        metadata: Meta,
        /// Its number.
        revision: i64,
        /// The stored content; digested and dropped.
        data: Value,
    }
}

slim! {
    /// A `WindowsHostNode`.
    Ledger {
        /// Metadata.
        metadata: Meta,
        /// The status.
        status: WindowsHostNodeStatus,
    }
}

slim! {
    /// A ConfigMap or Secret: only the digest of its content is kept.
    Input {
        /// Metadata.
        metadata: Meta,
        /// `data`, digested.
        data: Content,
        /// `binaryData`, digested.
        binary_data: Content,
    }
}

slim! {
    /// A DaemonSet.
    DaemonSet {
        /// Metadata.
        metadata: Meta,
        /// The part of the spec we read.
        spec: DaemonSetSpec,
        /// The part of the status we read.
        status: DaemonSetStatus,
    }
}

slim! {
    /// The part of a DaemonSet's spec we read.
    DaemonSetSpec {
        /// The pod template.
        template: TemplateMeta,
    }
}

slim! {
    /// The metadata of a pod template.
    TemplateMeta {
        /// Metadata.
        metadata: Meta,
    }
}

slim! {
    /// The part of a DaemonSet's status we read.
    DaemonSetStatus {
        /// The generation its controller has seen.
        observed_generation: i64,
    }
}

slim! {
    /// A Job.
    Job {
        /// Metadata.
        metadata: Meta,
        /// The part of the status we read.
        status: JobStatus,
    }
}

slim! {
    /// The part of a Job's status we read.
    JobStatus {
        /// The conditions.
        conditions: Vec<Condition>,
    }
}

slim! {
    /// A condition of a Job, pod or node.
    Condition {
        /// The type.
        #[serde(rename = "type")]
        kind: String,
        /// True, False or Unknown.
        status: String,
        /// Why, as one word.
        reason: String,
        /// Why.
        message: String,
        /// When it last changed, by the writer's clock.
        last_transition_time: Stamp,
    }
}

/// A time inside a list; what is no time counts as absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stamp(pub Option<Timestamp>);

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        time(deserializer).map(Self)
    }
}

/// Decodes one object.
///
/// # Errors
/// Where the text is no JSON, or a field we need cannot be read.
pub fn decode<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text)
}
