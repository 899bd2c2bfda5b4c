//! Replies of scripts, taken apart one by one.

use deadpool_redis::redis::Value;

use super::packed::{Damaged, MAX_48, Unpack, moment, utf8};
use crate::model::{JobId, Millis};
use crate::port::{Error, Result};

/// A reply that is none of ours: another version's script, or not a Redis server at all.
pub(super) fn strange(what: &'static str) -> Error {
    Error::Unreadable {
        what: "the answer of the Redis server".to_owned(),
        reason: format!("{what} was expected"),
    }
}

/// Bytes of a reply that are not what was packed.
pub(super) fn unreadable(what: impl Into<String>) -> impl FnOnce(Damaged) -> Error {
    let what = what.into();
    move |damaged| Error::Unreadable { what, reason: damaged.to_string() }
}

/// The items of an array, in order.
#[derive(Debug)]
pub(super) struct Items(std::vec::IntoIter<Value>);

impl Items {
    /// A value that must be an array.
    pub fn of(value: Value) -> Result<Self> {
        match value {
            Value::Array(items) | Value::Set(items) => Ok(Self(items.into_iter())),
            // As the newer protocol has it, which an address may ask for.
            Value::Map(pairs) => {
                let flat: Vec<Value> = pairs.into_iter().flat_map(|(field, value)| [field, value]).collect();
                Ok(Self(flat.into_iter()))
            }
            _ => Err(strange("an array")),
        }
    }

    /// How many are left.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The next item, if there is one.
    pub fn next(&mut self) -> Option<Value> {
        self.0.next()
    }

    fn expect(&mut self) -> Result<Value> {
        self.0.next().ok_or_else(|| strange("one more item"))
    }

    /// The next item, a whole number.
    pub fn number(&mut self) -> Result<u64> {
        match self.expect()? {
            Value::Int(value) => Ok(value.try_into().unwrap_or(0)),
            Value::BulkString(digits) => std::str::from_utf8(&digits)
                .ok()
                .and_then(|s| s.parse().ok())
                .ok_or_else(|| strange("a number")),
            _ => Err(strange("a number")),
        }
    }

    /// The next item, a moment, of which 0 is none.
    pub fn moment(&mut self) -> Result<Option<Millis>> {
        if matches!(self.0.as_slice().first(), Some(Value::Nil)) {
            self.0.next();
            return Ok(None);
        }
        Ok(Some(self.number()?).filter(|at| *at > 0).map(moment))
    }

    /// The next item, 0 or 1.
    pub fn flag(&mut self) -> Result<bool> {
        Ok(self.number()? != 0)
    }

    /// The next item, bytes.
    pub fn bytes(&mut self) -> Result<Vec<u8>> {
        self.bytes_or_none()?.ok_or_else(|| strange("bytes"))
    }

    /// The next item, bytes or nothing.
    pub fn bytes_or_none(&mut self) -> Result<Option<Vec<u8>>> {
        match self.expect()? {
            Value::BulkString(bytes) => Ok(Some(bytes)),
            Value::SimpleString(text) => Ok(Some(text.into_bytes())),
            Value::Okay => Ok(Some(b"OK".to_vec())),
            Value::Nil | Value::Int(0) => Ok(None),
            _ => Err(strange("bytes")),
        }
    }

    /// The next item, text.
    pub fn text(&mut self) -> Result<String> {
        String::from_utf8(self.bytes()?).map_err(|_| strange("text"))
    }

    /// The next item, a job's id.
    pub fn id(&mut self) -> Result<JobId> {
        id_of(&self.bytes()?)
    }

    /// The next item, an array.
    pub fn items(&mut self) -> Result<Self> {
        Self::of(self.expect()?)
    }

    /// The next item, an array of ids.
    pub fn ids(&mut self) -> Result<Vec<JobId>> {
        let mut items = self.items()?;
        (0..items.len()).map(|_| items.id()).collect()
    }

    /// The rows of the next item, an array of arrays.
    pub fn rows<T>(&mut self, mut read: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut rows = self.items()?;
        let mut all = Vec::with_capacity(rows.len());
        while let Some(row) = rows.next() {
            all.push(read(&mut Self::of(row)?)?);
        }
        Ok(all)
    }
}

/// Bytes that must be an id.
pub(super) fn id_of(bytes: &[u8]) -> Result<JobId> {
    utf8(bytes).ok().and_then(|text| JobId::new(text).ok()).ok_or_else(|| strange("a job id"))
}

/// Ids of a pack: how many u8, generation u32, then length and bytes of each.
pub(super) fn unpack_ids(pack: &[u8], ids: &mut Vec<JobId>) -> Result<(), Damaged> {
    let mut u = Unpack::new(pack);
    let n = u.u8()?;
    u.u32()?;
    for _ in 0..n {
        let len = usize::from(u.u8()?);
        ids.push(JobId::new(utf8(u.take(len)?)?).map_err(|_| Damaged::Bad("job id"))?);
    }
    Ok(())
}

/// Appends a pack of ids under generation 0, which the script replaces by that of the moment. At most 255 ids.
pub(super) fn put_ids<'a>(out: &mut Vec<u8>, ids: impl ExactSizeIterator<Item = &'a JobId>) {
    out.push(ids.len() as u8);
    out.extend_from_slice(&[0; 4]);
    for id in ids {
        out.push(id.as_bytes().len() as u8);
        out.extend_from_slice(id.as_bytes());
    }
}

/// A number as an argument: decimal digits. What scripts compute with is at most six bytes large.
pub(super) fn digits(value: u64) -> impl std::fmt::Display {
    value.min(MAX_48)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_hold_ids_in_order() {
        let ids: Vec<JobId> =
            ["a", &"x".repeat(128), "z-1"].map(|id| JobId::new(id).expect("a good id")).into();
        let mut pack = Vec::new();
        put_ids(&mut pack, ids.iter());
        let mut read = Vec::new();
        unpack_ids(&pack, &mut read).expect("it can be read");
        assert_eq!(read, ids);
        assert_eq!(unpack_ids(&pack[..pack.len() - 1], &mut read), Err(Damaged::Short));
        assert_eq!(unpack_ids(&[1, 0, 0, 0, 0, 1, b' '], &mut read), Err(Damaged::Bad("job id")));
    }

    #[test]
    fn a_reply_of_another_shape_is_an_error_and_no_panic() {
        assert!(Items::of(Value::Int(1)).is_err());
        let mut items = Items::of(Value::Array(vec![
            Value::Int(-1),
            Value::BulkString(b"12".to_vec()),
            Value::Int(MAX_48 as i64),
            Value::BulkString(b"x".to_vec()),
            Value::Nil,
            Value::Nil,
        ]))
        .expect("an array");
        assert_eq!((items.number().ok(), items.number().ok()), (Some(0), Some(12)));
        assert_eq!(items.moment().ok(), Some(Some(Millis::MAX)));
        assert!(items.number().is_err());
        assert_eq!(items.bytes_or_none().ok(), Some(None));
        assert!(items.bytes().is_err());
        assert!(items.bytes().is_err(), "nothing is left");
    }
}
