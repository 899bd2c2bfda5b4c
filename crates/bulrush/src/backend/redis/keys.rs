//! The keys of a queue. No other module makes one.
//!
//! All keys of a queue begin with `<namespace>:{<queue>}:`, so that they share a hash slot and no script touches two queues. Every script
//! gets all of them in the order of this table, but for `add`, which gets the first 18. A prefix is declared like a key, and the script
//! appends to it. What becomes empty vanishes by itself; who else removes is named.
//!
//! | place | name | type | what it holds | written by | removed by |
//! |---|---|---|---|---|---|
//! | 1 | `meta` | hash | settings (`cfg` packed, `config` JSON), counters (`n`), each worker's last call (`w`+id), info (`i`+id) and number of roll-ups (`r`+id), newest roll-up (`roll`), when maintenance ran (`pass`, `grace`) and where its walks stand (`walk…`, `clean:…`) | all | rescue (workers), the end of a walk; the rest stays |
//! | 2 | `jobs` | hash | id → record (`record.rs`) | add, step, every move | retention, remove |
//! | 3 | `wait` | list | packs of waiting ids of the list's priority, head right | add, every move to waiting | step |
//! | 4 | `prio` | zset | other waiting jobs without a group, score priority · 2^31 + place | add, every move to waiting | step, every move away |
//! | 5 | `due` | zset | delayed jobs, score run-at ms | add, step, reschedule | promotion, every move away |
//! | 6 | `ev` | stream | events, one entry a command, id `<position of its first event>-0` | all that change something | its own bound |
//! | 7 | `wake` | list | one element while a worker may have to be woken | all that make something ready | waiting workers |
//! | 8 | `dedup` | hash | key → until, fingerprint, holder | add, deliver, retry | the holder's end, maintenance |
//! | 9 | `dedupx` | zset | keys with a time of their own, score until ms | with `dedup` | with `dedup` |
//! | 10 | `data` | hash | id → payload above 1,024 bytes | add, update, set data | with its record |
//! | 11 | `own:` | prefix, list | an owner's ids, newest left, at most 10,000 | add, deliver | with the owner's oldest records |
//! | 12 | `out` | stream | outbox, id `<seq>-0`, field `e` | all that concern another queue | acknowledge |
//! | 13 | `par` | zset | parents that wait for children, in order | add, deliver | every move away |
//! | 14 | `fam:` | prefix, hash | a parent's children: `n` pending, `t` in all, `c`+id → index, index → child | add, deliver | with the parent's record |
//! | 15 | `ring` | zset | members of the rotation that may start, score ticket | every move to or from waiting | when the last group is gone |
//! | 16 | `groups` | hash | member → waiting, active, held back until | every move to or from waiting | when a group has nothing left |
//! | 17 | `g:` | prefix, list | packs of a group's waiting ids, head right | add, every move to waiting | step; when a group has nothing left |
//! | 18 | `act` | hash | id → active entry (`active.rs`) | step | settle, rescue, resume |
//! | 19 | `done` | list | completed jobs, newest left: stamp and pack by turns | step | retention |
//! | 20 | `fail` | zset | failed jobs, in order | step, rescue, deliver | retention, retry, remove |
//! | 21 | `canc` | zset | cancelled jobs, in order | step, cancel | retention, retry, remove |
//! | 22 | `wk` | zset | workers (8 bytes), score lease end ms | resume, renew, step | rescue |
//! | 23 | `rate` | list | starts in the window: ms, how many; newest left | step | step, when the window has passed |
//! | 24 | `held` | zset | members of the rotation that are held back, score until ms | step | when their time has come |
//! | 25 | `dl` | zset | running jobs with a time-out, score deadline ms | step | settle, rescue, resume |
//! | 26 | `prog` | hash | id → progress report | update | with its record |
//! | 27 | `logn` | hash | id → log lines in all, of the last run, that run | update | with its record |
//! | 28 | `log:` | prefix, list | a job's kept log lines, oldest left | update | with its record |
//! | 29 | `roll:` | prefix, hash | roll-ups: `roll:m<hour>` by the minute, `roll:h<day>` by the hour | renew | their own expiry |
//! | 30 | `sch` | hash | schedule → how it stands (`schedule.rs`) | put_schedules, change_schedules, fire | its removal, obliterate |
//! | 31 | `schd` | hash | schedule → what is asked for | put_schedules | with `sch` |
//! | 32 | `schx` | zset | schedules that stand at a slot, score that slot, ms | with `sch` | when they stand at none |
//! | 33 | `schi` | zset | all schedules, score 0, to be read by id | put_schedules | with `sch` |
//! | 34 | `schn` | stream | one entry: a slot that became the first of all | with `schx` | obliterate |
//! | 35 | `schk` | set | default schedules that were asked for | put_schedules | obliterate |
//!
//! A wait that is given up is ended by an element in a list of its own, `wake:` and a number that only this wait has: the wait pops it, and
//! if it has ended by itself the list expires within seconds.
//!
//! Two keys belong to no queue and have no slot in common with any: `<namespace>:queues`, the set of names, and, in tests alone,
//! `<namespace>:clock`, the moment that scripts take for now.

use std::fmt::Write as _;

use crate::model::QueueName;

/// Names in the order in which scripts get them.
const NAMES: [&str; 35] = [
    "meta", "jobs", "wait", "prio", "due", "ev", "wake", "dedup", "dedupx", "data", "own:", "out", "par",
    "fam:", "ring", "groups", "g:", "act", "done", "fail", "canc", "wk", "rate", "held", "dl", "prog",
    "logn", "log:", "roll:", "sch", "schd", "schx", "schi", "schn", "schk",
];

/// How the key ends on which idle workers wait.
pub(super) const WAKE: &[u8] = b":wake";

/// How many of them `add` gets: an argument costs as much as many bytes, and it needs no more.
pub(super) const KEYS_OF_ADD: usize = 18;

/// The keys of one queue, made once.
#[derive(Debug)]
pub(super) struct Keys {
    /// All of them, one after the other.
    text: String,
    /// Where each ends.
    ends: [usize; NAMES.len()],
}

impl Keys {
    /// The keys of a queue.
    pub fn new(namespace: &str, queue: &QueueName) -> Self {
        let mut text = String::new();
        let ends = NAMES.map(|name| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{namespace}:{{{queue}}}:{name}");
            text.len()
        });
        Self { text, ends }
    }

    /// All of them, in order.
    pub fn all(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..NAMES.len()).map(|place| self.at(place))
    }

    /// Settings and counters.
    pub fn meta(&self) -> &str {
        self.at(0)
    }

    /// The stream of events.
    pub fn events(&self) -> &str {
        self.at(5)
    }

    /// Where idle workers wait.
    pub fn wake(&self) -> &str {
        self.at(6)
    }

    /// What ends one wait of an idle worker, `wait` being a number that no other has.
    pub fn bell(&self, wait: u64) -> String {
        format!("{}:{wait:x}", self.wake())
    }

    /// The outbox.
    pub fn outbox(&self) -> &str {
        self.at(11)
    }

    /// Tells that a schedule is due sooner than all others.
    pub fn sooner(&self) -> &str {
        self.at(33)
    }

    /// Roll-ups by the minute of one hour, counted from the epoch.
    pub fn minutes(&self, hour: u64) -> String {
        format!("{}m{hour}", self.at(28))
    }

    /// Roll-ups by the hour of one day, counted from the epoch.
    pub fn hours(&self, day: u64) -> String {
        format!("{}h{day}", self.at(28))
    }

    fn at(&self, place: usize) -> &str {
        let from = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[from..self.ends[place]]
    }
}

/// The set of the names of all queues.
pub(super) fn queues(namespace: &str) -> String {
    format!("{namespace}:queues")
}

/// What the scripts of a test take for now.
pub(super) fn clock(namespace: &str) -> String {
    format!("{namespace}:clock")
}

/// Whether a namespace can be told from the queue's name in a key, and is fit for reading.
pub(super) fn is_namespace(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_a_queue_carries_its_slot_and_its_own_name() {
        let queue = QueueName::new("mail").expect("a good name");
        let keys = Keys::new("ns", &queue);
        assert!(keys.all().zip(NAMES).all(|(key, name)| key == format!("ns:{{mail}}:{name}")));
        assert_eq!((keys.meta(), keys.events()), ("ns:{mail}:meta", "ns:{mail}:ev"));
        assert_eq!((keys.wake(), keys.outbox()), ("ns:{mail}:wake", "ns:{mail}:out"));
        assert_eq!(keys.bell(255), "ns:{mail}:wake:ff");
        assert!(keys.wake().as_bytes().ends_with(WAKE) && !keys.bell(255).as_bytes().ends_with(WAKE));
        assert_eq!(keys.minutes(3), "ns:{mail}:roll:m3");
        assert_eq!(keys.hours(4), "ns:{mail}:roll:h4");
        assert_eq!(keys.all().nth(KEYS_OF_ADD - 1), Some("ns:{mail}:act"));
    }

    #[test]
    fn a_namespace_cannot_look_like_a_slot() {
        for bad in ["", "a:b", "{a}", "a b", "ä", &"n".repeat(65)] {
            assert!(!is_namespace(bad), "{bad:?}");
        }
        assert!(is_namespace("bulrush-2.test_1"));
    }
}
