//! Everything that can be seen of a queue, as text to compare.

use std::fmt::Write as _;

use super::workload::{RATE_PER_MS, owners};
use crate::core::{Core, ExportCursor, Fact, FactSink};
use crate::model::{JobState, Millis, PageRequest, QueueConfig, WorkerId};
use crate::port::{AdminCommand, Resume, Step, WorkerInfo};

/// What is told, but for places and numbers that two queues of the same content may count differently.
struct Told {
    facts: Vec<String>,
    now: Millis,
}

impl FactSink for Told {
    fn keep(&mut self, fact: Fact<'_>) {
        let text = match &fact {
            Fact::Dedup { .. } | Fact::Outbox { .. } | Fact::Rollup { .. } | Fact::Config(_) => {
                format!("{fact:?}")
            }
            Fact::Rate { at, .. } if at + RATE_PER_MS > self.now => format!("{fact:?}"),
            Fact::Child { position, child, on_failure, .. } => format!("{position} {child:?} {on_failure:?}"),
            Fact::Log { number, line, .. } => format!("{number} {line}"),
            Fact::Member { name, limited_until, .. } if *limited_until > self.now => {
                format!("{name:?} held back until {limited_until}")
            }
            Fact::Meta(meta) => format!("{} {} {}", meta.limited_until, meta.next_outbox, meta.paused),
            _ => return,
        };
        self.facts.push(text);
    }
}

/// Describes a queue, and uses it up: at the end its jobs are taken, to see in which order.
pub fn observe(mut core: Core, now: Millis) -> String {
    let mut text = String::new();
    let mut info = core.info(now);
    (info.last_event, info.maintained_at) = (0, None);
    let _ = writeln!(text, "{info:?}");
    for state in JobState::ALL {
        let page = core.page(&PageRequest { state: Some(state), limit: 1_000, ..PageRequest::default() });
        for job in page.unwrap().jobs {
            let _ = writeln!(text, "{state}: {job:?}");
            let _ = writeln!(text, "  children {:?}", core.children(job.id(), 0, 100));
            let _ = writeln!(text, "  lines {:?}", core.logs(job.id(), 0, 100));
        }
    }
    for owner in owners() {
        let page =
            core.page(&PageRequest { owner: Some(owner.clone()), limit: 1_000, ..PageRequest::default() });
        let ids: Vec<_> = page.unwrap().jobs.iter().map(|job| job.id().clone()).collect();
        let _ = writeln!(text, "of {owner:?}: {ids:?}");
    }
    let mut told = Told { facts: Vec::new(), now };
    let mut cursor = Some(ExportCursor::default());
    while let Some(from) = cursor {
        cursor = core.export(&from, 3, &mut told);
    }
    told.facts.sort_unstable();
    told.facts.iter().for_each(|fact| {
        let _ = writeln!(text, "{fact}");
    });
    let findings = core.verify(0, false).findings;
    assert!(findings.is_empty(), "invariants are broken: {findings:?}\n{text}");
    let _ = writeln!(text, "order {:?}", order(core, now));
    text
}

/// The order in which jobs start: first under the queue's own limits, then without any.
fn order(mut core: Core, mut now: Millis) -> Vec<String> {
    let worker = WorkerId(999);
    let info = WorkerInfo { id: worker, name: String::new(), slots: 9, version: String::new(), started: 0 };
    core.resume(&Resume { info, call: 1, running: Vec::new() }, now).unwrap();
    let mut order = Vec::new();
    for call in 2..8 {
        if call == 5 {
            // The leases stay, the limits go.
            core.admin(AdminCommand::Unpause, now).unwrap();
            core.configure(QueueConfig { lease_ms: 3_600_000, ..QueueConfig::default() }, now).unwrap();
            now += 60_000;
        }
        let reply = core.step(Step::take(worker, call, if call < 5 { 3 } else { 1_000 }), now).unwrap();
        order.extend(reply.taken.iter().map(|job| job.spec.id.to_string()));
        order.push(format!("{:?} {:?} {}", reply.next_due, reply.limited_until, reply.paused));
    }
    order
}

/// Fails with the first line that differs.
pub fn assert_same(found: &str, expected: &str, context: &str) {
    if found != expected {
        let differs = found.lines().zip(expected.lines()).position(|(one, other)| one != other);
        let line = differs.unwrap_or_else(|| found.lines().count().min(expected.lines().count()));
        let (one, other) = (found.lines().nth(line), expected.lines().nth(line));
        panic!("{context}\n found    {one:?}\n expected {other:?}");
    }
}
