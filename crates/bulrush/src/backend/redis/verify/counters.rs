//! The packed counters, taken apart and put together. Their order and their widths stand in `lua/part_words.lua`.

/// A counter that a check compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counter {
    Waiting = 1,
    Listed,
    Prioritized,
    Delayed,
    Parents,
    Active,
    Completed,
    Failed,
    Cancelled,
    Tombs = 12,
    DoneTombs,
    Started,
    Outbox,
    Position = 22,
    Cancels = 25,
    Groups,
}

/// Bytes of each counter, in order.
const WIDTHS: [usize; 33] =
    [6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 4, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 7, 6, 6, 6, 6, 6, 6, 4, 3, 1, 6];
const TICKET: usize = 27;
const LIST_PRIORITY: usize = 30;

/// All counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counters([u64; WIDTHS.len()]);

impl Counters {
    /// Those of a queue that has none: nobody has changed anything in it.
    pub fn none(default_priority: u32) -> Self {
        let mut values = [0; WIDTHS.len()];
        values[TICKET] = 1;
        values[LIST_PRIORITY] = u64::from(default_priority);
        Self(values)
    }

    /// Reads the packed counters; none if they are not as long as they should be.
    pub fn decode(packed: &[u8]) -> Option<Self> {
        let mut values = [0; WIDTHS.len()];
        let mut rest = packed;
        for (value, width) in values.iter_mut().zip(WIDTHS) {
            let (bytes, after) = rest.split_at_checked(width)?;
            *value = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
            rest = after;
        }
        rest.is_empty().then_some(Self(values))
    }

    /// Packs them.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(WIDTHS.iter().sum());
        for (value, width) in self.0.iter().zip(WIDTHS) {
            out.extend_from_slice(&value.to_be_bytes()[8 - width..]);
        }
        out
    }

    pub fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }

    pub fn set(&mut self, counter: Counter, value: u64) {
        self.0[counter as usize] = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The script's own format.
    fn format() -> Vec<usize> {
        let text = include_str!("../lua/part_words.lua");
        let line =
            text.lines().find_map(|line| line.strip_prefix("local COUNTERS = '>")).expect("it is there");
        let mut widths = Vec::new();
        let mut chars = line.trim_end_matches('\'').chars();
        while let Some(letter) = chars.next() {
            widths.push(match letter {
                'I' => chars.next().and_then(|digit| digit.to_digit(10)).expect("a width") as usize,
                _ => 1,
            });
        }
        widths
    }

    #[test]
    fn counters_are_read_and_written_as_the_scripts_do() {
        assert_eq!(format(), WIDTHS);
        let text = include_str!("../lua/part_words.lua");
        let lists = text.lines().filter_map(|line| line.strip_prefix("-- @fields n "));
        let names: Vec<&str> = lists.flat_map(str::split_whitespace).collect();
        assert_eq!(names.len(), WIDTHS.len());
        for (counter, name) in [
            (Counter::Waiting, "waiting"),
            (Counter::Cancelled, "cancelled"),
            (Counter::Tombs, "tombs"),
            (Counter::DoneTombs, "dtombs"),
            (Counter::Started, "started"),
            (Counter::Outbox, "outbox"),
            (Counter::Position, "position"),
            (Counter::Cancels, "cancels"),
            (Counter::Groups, "groups"),
        ] {
            assert_eq!(names[counter as usize], name, "{counter:?}");
        }
        assert_eq!((names[TICKET], names[LIST_PRIORITY]), ("ticket", "list_prio"));
        let mut counters = Counters::none(5);
        counters.set(Counter::Position, 1 << 50);
        let packed = counters.encode();
        assert_eq!(Counters::decode(&packed), Some(counters));
        assert_eq!(Counters::decode(&packed[1..]), None);
    }
}
