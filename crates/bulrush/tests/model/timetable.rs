//! A queue of schedules alone, and who fires them.

use std::collections::BTreeMap;

use bulrush::core::{Command, Core, Reply};
use bulrush::fires_of;
use bulrush::model::{JobId, Millis, QueueConfig, QueueName, SchedulePage, Scope};
use bulrush::port::{Fire, Fired};

use crate::facts::Store;
use crate::schedules::{Act, change, forged, id, put, put_all, spec};
use crate::world::START;

/// One thing that happens.
#[derive(Debug, Clone)]
pub enum Happening {
    Schedule(Act),
    Pass(i64),
}

pub struct Timetable {
    core: Core,
    queue: QueueName,
    store: Store,
    clock: Millis,
    fired: Vec<Vec<Fire>>,
    /// How often each slot added its job, by the job.
    added: BTreeMap<JobId, u32>,
}

impl Timetable {
    pub fn new() -> Self {
        let queue = QueueName::new("main").expect("a good name");
        let mut core = Core::new(queue.clone(), QueueConfig::default(), START);
        core.note_changes();
        let (store, fired, added) = Default::default();
        Self { core, queue, store, clock: START, fired, added }
    }

    pub fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Pass(ms) => self.clock = self.clock.saturating_add_signed(*ms).max(START - 100_000),
            Happening::Schedule(act) => self.act(act),
        }
        self.check();
    }

    fn act(&mut self, act: &Act) {
        let now = self.core.latest(self.clock);
        match act {
            Act::Put { ask, once } => {
                let before = self.all();
                let put = put(spec(ask, now, START), *once, now);
                // Some cannot be, and leave no trace then.
                if self.core.apply(put.clone(), self.clock).is_err() {
                    assert_eq!(self.all(), before);
                    return;
                }
                let there = self.all();
                drop(self.core.apply(put, self.clock));
                assert_eq!(self.all(), there, "what is put again changes nothing");
            }
            Act::PutAll { asks, once } => {
                let before = self.all();
                let specs = asks.iter().map(|ask| spec(ask, now, START)).collect();
                if self.core.apply(put_all(specs, *once, now), self.clock).is_err() {
                    assert_eq!(self.all(), before, "all or none");
                }
            }
            Act::Change { n, what } => {
                let view = self.core.schedule(&Scope::All, &id(*n));
                let first = view.and_then(|view| view.slot_after(now).expect("it is understood"));
                let command = Command::ChangeSchedules(vec![id(*n)], change(*what), first);
                self.core.apply(command, self.clock).expect("it can be changed");
            }
            Act::Tick { limit } => {
                let whole = self.core.due_schedules(None, 1_000, self.clock);
                let (mut after, mut seen) = (None, Vec::new());
                loop {
                    let page = self.core.due_schedules(after.as_ref(), *limit, self.clock);
                    seen.extend(page.due);
                    after = page.more;
                    if after.is_none() {
                        break;
                    }
                }
                assert_eq!(seen, whole.due, "page by page");
                seen.truncate((*limit).max(1));
                let fires = seen.iter().flat_map(|view| fires_of(view, whole.now).expect("it is understood"));
                self.fire(fires.collect());
            }
            Act::Again { pick } => {
                if let Some(fires) = self.fired.get(pick % self.fired.len().max(1)).cloned() {
                    self.fire(fires);
                }
            }
            Act::Forge { n, .. } => {
                let view = self.core.schedule(&Scope::All, &id(*n));
                if let Some(fire) = view.as_ref().and_then(|view| forged(view, act)) {
                    self.fire(vec![fire]);
                }
            }
        }
    }

    fn fire(&mut self, fires: Vec<Fire>) {
        let before: BTreeMap<_, _> =
            self.all().schedules.into_iter().map(|view| (view.id().clone(), view)).collect();
        let Ok(Reply::Fire(reply)) = self.core.apply(Command::Fire(fires.clone()), self.clock) else {
            return;
        };
        for (fire, fired) in fires.iter().zip(&reply.fired) {
            let slot = fire.fires.unwrap_or(fire.slot);
            if let Fired::Added(job) = fired {
                *self.added.entry(job.clone()).or_default() += 1;
                assert_eq!(*job, fire.spec.job_id(slot));
                assert!(slot <= reply.now, "no slot fires before its time");
                assert!(fire.spec.end.is_none_or(|end| slot <= end), "nor after the end");
            }
        }
        for view in self.all().schedules {
            let old = &before[view.id()].state;
            assert!(view.state.next.is_none_or(|next| Some(next) >= old.next), "slots only grow");
            assert!(view.spec.limit.is_none_or(|limit| view.state.fired <= limit));
        }
        self.fired.push(fires);
    }

    fn all(&self) -> SchedulePage {
        self.core.list_schedules(&Scope::All, None, 1_000)
    }

    fn check(&mut self) {
        assert_eq!(self.core.verify(0, false).findings, []);
        assert!(self.added.values().all(|times| *times == 1), "a slot fired twice: {:?}", self.added);
        for view in self.all().schedules {
            let may_fire = view.spec.enabled && view.spec.limit.is_none_or(|limit| view.state.fired < limit);
            assert!(may_fire || view.state.next.is_none(), "{view:?}");
        }
        self.core.drain_changes(&mut self.store);
        let mut built = self.store.rebuild(&self.queue, self.core.latest(self.clock));
        assert_eq!(built.verify(0, false).findings, [], "the queue built anew");
        assert_eq!(built.list_schedules(&Scope::All, None, 1_000), self.all());
        assert_eq!(
            built.due_schedules(None, 1_000, self.clock).due,
            self.core.due_schedules(None, 1_000, self.clock).due
        );
    }
}
