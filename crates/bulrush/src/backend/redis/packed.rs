//! Numbers and texts as the scripts pack them: big endian, as Lua's `struct` writes with `>`.

use crate::model::codec::DecodeError;
use crate::model::{Millis, WorkerId};

/// The largest number of six bytes. As a moment it stands for every later one too: the year 10889 and after are all the same.
pub(super) const MAX_48: u64 = (1 << 48) - 1;

/// Bytes that are not what was packed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damaged {
    /// The bytes end before what they hold does.
    #[error("it ends early")]
    Short,
    /// Something stands where it cannot.
    #[error("bad {0}")]
    Bad(&'static str),
    /// It was written by a newer version.
    #[error("it has format {0}, this version reads format 2; upgrade before you use this queue")]
    Format(u8),
    /// The part that scripts do not look into.
    #[error(transparent)]
    Rest(#[from] DecodeError),
}

pub(super) fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Three bytes; more than they hold becomes the most they hold.
pub(super) fn put_u24(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.min(0x00ff_ffff).to_be_bytes()[1..]);
}

pub(super) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Six bytes; more than they hold becomes the most they hold.
pub(super) fn put_u48(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.min(MAX_48).to_be_bytes()[2..]);
}

pub(super) fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// A text with its length in two bytes. Names, keys and owners are bounded far below what that says.
pub(super) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    let text = &text[..text.len().min(usize::from(u16::MAX))];
    put_u16(out, text.len() as u16);
    out.extend_from_slice(text);
}

/// Worker and call of a token: 14 bytes.
pub(super) fn put_nonce(out: &mut Vec<u8>, worker: WorkerId, take: u64) {
    put_u64(out, worker.0);
    put_u48(out, take);
}

/// A moment of a script's reply, in which six bytes may stand for all that is later.
pub(super) fn moment(value: u64) -> Millis {
    if value >= MAX_48 { Millis::MAX } else { value }
}

/// Takes packed values from a buffer.
#[derive(Clone)]
pub(super) struct Unpack<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Unpack<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How much has been taken.
    pub fn position(&self) -> usize {
        self.at
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// What has not been taken.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        self.at = self.bytes.len();
        rest
    }

    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Damaged> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.bytes.len()).ok_or(Damaged::Short)?;
        let slice = &self.bytes[self.at..end];
        self.at = end;
        Ok(slice)
    }

    fn number(&mut self, n: usize) -> Result<u64, Damaged> {
        Ok(self.take(n)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    pub fn u8(&mut self) -> Result<u8, Damaged> {
        Ok(self.take(1)?[0])
    }

    pub fn u16(&mut self) -> Result<u16, Damaged> {
        Ok(self.number(2)? as u16)
    }

    pub fn u24(&mut self) -> Result<u32, Damaged> {
        Ok(self.number(3)? as u32)
    }

    pub fn u32(&mut self) -> Result<u32, Damaged> {
        Ok(self.number(4)? as u32)
    }

    pub fn u48(&mut self) -> Result<u64, Damaged> {
        self.number(6)
    }

    /// Six bytes that are a moment.
    pub fn moment(&mut self) -> Result<Millis, Damaged> {
        Ok(moment(self.u48()?))
    }

    pub fn u56(&mut self) -> Result<u64, Damaged> {
        self.number(7)
    }

    pub fn u64(&mut self) -> Result<u64, Damaged> {
        self.number(8)
    }

    /// A text with its length in two bytes.
    pub fn text(&mut self) -> Result<&'a str, Damaged> {
        let len = usize::from(self.u16()?);
        utf8(self.take(len)?)
    }
}

/// Bytes that must be text.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Damaged> {
    std::str::from_utf8(bytes).map_err(|_| Damaged::Bad("text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_and_what_is_too_large_is_the_largest() {
        let mut out = Vec::new();
        put_u16(&mut out, 0xfffe);
        put_u24(&mut out, u32::MAX);
        put_u32(&mut out, 7);
        put_u48(&mut out, u64::MAX);
        put_u64(&mut out, u64::MAX - 1);
        put_text(&mut out, "käse".as_bytes());
        put_nonce(&mut out, WorkerId(3), 9);
        let mut u = Unpack::new(&out);
        assert_eq!((u.u16(), u.u24(), u.u32()), (Ok(0xfffe), Ok(0x00ff_ffff), Ok(7)));
        assert_eq!((u.moment(), u.u64(), u.text()), (Ok(u64::MAX), Ok(u64::MAX - 1), Ok("käse")));
        assert_eq!((u.u64(), u.u48(), u.is_at_end()), (Ok(3), Ok(9), true));
        assert_eq!(u.u8(), Err(Damaged::Short));
    }

    #[test]
    fn a_length_beyond_the_end_is_no_text() {
        assert_eq!(Unpack::new(&[0xff, 0xff, b'a']).text(), Err(Damaged::Short));
        assert_eq!(Unpack::new(&[0, 1, 0xff]).text(), Err(Damaged::Bad("text")));
    }
}
