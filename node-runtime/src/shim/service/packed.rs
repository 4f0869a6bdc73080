//! Messages that a request carries in a message of any type.

use protobuf::MessageField;
use protobuf::well_known_types::any::Any;

use super::failure::Failure;

/// What a field of a request has to carry.
pub(super) struct Expected {
    /// The field.
    pub(super) field: &'static str,
    /// The last part of the type's name.
    pub(super) kind: &'static str,
    /// What to do where it is missing, or of another type.
    pub(super) rule: &'static str,
}

impl Expected {
    /// What a field carries.
    pub(super) fn of<'a>(&self, field: &'a MessageField<Any>) -> Result<&'a [u8], Failure> {
        let Some(any) = field.as_ref() else {
            return Err(Failure::Request {
                what: format!("{} is missing", self.field),
                rule: self.rule,
            });
        };
        self.check(any)?;
        Ok(&any.value)
    }

    /// That something is of the type.
    pub(super) fn check(&self, any: &Any) -> Result<(), Failure> {
        if any.type_url.rsplit('/').next() == Some(self.kind) {
            return Ok(());
        }
        Err(Failure::Request {
            what: format!("{} is of the type {:?}", self.field, any.type_url),
            rule: self.rule,
        })
    }
}
