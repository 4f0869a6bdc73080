//! The content of a ConfigMap or Secret, digested while it is decoded.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use sha2::{Digest, Sha256};

/// The values of a map, each digested as it is decoded and dropped.
#[derive(Debug, Default)]
pub struct Content(BTreeMap<String, [u8; 32]>);

impl Content {
    /// How many keys there are.
    pub(in crate::index) fn len(&self) -> usize {
        self.0.len()
    }

    /// The keys and the SHA-256 of their values, in key order.
    pub(in crate::index) fn values(&self) -> impl Iterator<Item = (&String, &[u8; 32])> {
        self.0.iter()
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
                let mut content = Content::default();
                while let Some(key) = map.next_key::<String>()? {
                    let value = map.next_value::<Option<String>>()?.unwrap_or_default();
                    content
                        .0
                        .insert(key, Sha256::digest(value.as_bytes()).into());
                }
                Ok(content)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}
