//! MessagePack, for the parts of a call that most calls do not have. The server's Lua reads it natively.
//!
//! Texts are written as MessagePack strings whatever their bytes are: Lua makes no difference, and its reader knows no other kind.

use super::packed::MAX_48;

/// Appends values to a buffer. Writing to memory cannot fail, so nothing here returns an error.
pub(super) struct Pack<'a>(pub &'a mut Vec<u8>);

impl Pack<'_> {
    pub fn map(&mut self, len: usize) {
        let _ = rmp::encode::write_map_len(self.0, len as u32);
    }

    pub fn array(&mut self, len: usize) {
        let _ = rmp::encode::write_array_len(self.0, len as u32);
    }

    /// A number; more than six bytes hold becomes the most they hold, which Lua's numbers keep exactly.
    pub fn number(&mut self, value: u64) {
        let _ = rmp::encode::write_uint(self.0, value.min(MAX_48));
    }

    pub fn flag(&mut self, on: bool) {
        let _ = rmp::encode::write_bool(self.0, on);
    }

    pub fn text(&mut self, bytes: &[u8]) {
        let _ = rmp::encode::write_str_len(self.0, bytes.len() as u32);
        self.0.extend_from_slice(bytes);
    }
}

/// Named parts that are gathered first, because their number stands before them.
#[derive(Default)]
pub(super) struct Parts {
    packed: Vec<u8>,
    count: usize,
}

impl Parts {
    /// A part that stands alone.
    pub fn one(&mut self, name: &str, write: impl FnOnce(&mut Pack<'_>)) {
        let mut pack = Pack(&mut self.packed);
        pack.text(name.as_bytes());
        write(&mut pack);
        self.count += 1;
    }

    /// A part with a value for some of the jobs, by place from 1; none at all where no job has one.
    pub fn by_place<T>(
        &mut self,
        name: &str,
        values: &[(usize, T)],
        mut write: impl FnMut(&mut Pack<'_>, &T),
    ) {
        if values.is_empty() {
            return;
        }
        self.one(name, |pack| {
            pack.map(values.len());
            for (place, value) in values {
                pack.number(*place as u64);
                write(pack, value);
            }
        });
    }

    /// The whole; empty if there is no part.
    pub fn finish(self) -> Vec<u8> {
        if self.count == 0 {
            return Vec::new();
        }
        let mut whole = Vec::with_capacity(self.packed.len() + 5);
        Pack(&mut whole).map(self.count);
        whole.extend_from_slice(&self.packed);
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_is_no_byte_and_some_are_a_map() {
        assert_eq!(Parts::default().finish(), b"");
        let mut parts = Parts::default();
        parts.by_place::<u64>("w", &[], |pack, ms| pack.number(*ms));
        parts.by_place("d", &[(1, 5_u64), (300, u64::MAX)], |pack, ms| pack.number(*ms));
        parts.by_place("l", &[(2, ())], |pack, ()| pack.flag(true));
        let mut expected = vec![0x82, 0xa1, b'd', 0x82, 0x01, 0x05, 0xcd, 1, 44, 0xcf, 0, 0];
        expected.extend_from_slice(&[0xff; 6]);
        expected.extend_from_slice(&[0xa1, b'l', 0x81, 0x02, 0xc3]);
        assert_eq!(parts.finish(), expected);
    }

    #[test]
    fn any_bytes_are_text() {
        let mut out = Vec::new();
        Pack(&mut out).text(&[0, 0xff]);
        assert_eq!(out, [0xa2, 0, 0xff]);
    }
}
