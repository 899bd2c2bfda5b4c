//! Which waiting job runs next: by priority among the jobs without a group, in rotation among groups.
//!
//! All jobs without a group are one member of the rotation, each named group is another. A member stands in the ring while it has
//! waiting jobs, room under its cap, and no pause of its own. The member with the lowest ticket has its turn: as many jobs as its
//! weight, then it goes to the back with a new ticket.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::lane::{Entry, Lane};
use super::slab::Jobs;
use crate::model::{Millis, QueueConfig};

/// A member's name; none for the jobs without a group.
pub(super) type Member = Option<Arc<str>>;

/// A member of the rotation.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Waiting jobs by priority; those of a named group are all in one lane.
    pub lanes: BTreeMap<u32, Lane>,
    /// Live waiting jobs.
    pub waiting: u64,
    /// Jobs of it that run.
    pub active: u32,
    /// Held back until then, as its upstream asked.
    pub limited_until: Millis,
    /// Place in the ring, while it is there.
    pub ticket: Option<u64>,
}

/// The turn that is under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Turn {
    pub ticket: u64,
    pub left: u32,
}

/// A waiting job's place in a walk over all of them: its member, its priority, its order in the lane.
pub(super) type Place = (Member, u32, i64);

/// All waiting jobs.
#[derive(Debug, Default)]
pub(super) struct Ready {
    plain: Group,
    named: BTreeMap<Arc<str>, Group>,
    ring: BTreeMap<u64, Member>,
    limited: BTreeSet<(Millis, Member)>,
    pub next_ticket: u64,
    pub turn: Turn,
    /// Members whose pause or place in the ring changed, noted only where a store wants to know.
    touched: Vec<Member>,
    noting: bool,
}

impl Ready {
    /// Starts noting which members change.
    pub fn note_members(&mut self) {
        self.noting = true;
    }

    /// Members that changed since the last call, each once.
    pub fn take_touched(&mut self) -> Vec<Member> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    fn touch(&mut self, member: &Member) {
        if self.noting {
            self.touched.push(member.clone());
        }
    }

    pub fn group(&self, member: Option<&str>) -> Option<&Group> {
        match member {
            None => Some(&self.plain),
            Some(name) => self.named.get(name),
        }
    }

    fn group_mut(&mut self, member: &Member) -> &mut Group {
        match member {
            None => &mut self.plain,
            Some(name) if self.named.contains_key(name) => {
                self.named.get_mut(name).unwrap_or_else(|| unreachable!("just seen"))
            }
            Some(name) => self.named.entry(name.clone()).or_default(),
        }
    }

    /// Named groups in order of name.
    pub fn named(&self) -> impl DoubleEndedIterator<Item = (&Arc<str>, &Group)> {
        self.named.iter()
    }

    /// Puts a waiting job in its lane.
    pub fn push(
        &mut self,
        member: &Member,
        priority: u32,
        entry: Entry,
        front: bool,
        config: &QueueConfig,
        now: Millis,
    ) {
        let group = self.group_mut(member);
        let lane = group.lanes.entry(lane_of(member, priority)).or_default();
        if front {
            lane.push_front(entry);
        } else {
            lane.push_back(entry);
        }
        group.waiting += 1;
        self.seat(member, config, now);
    }

    /// Tells that a waiting job of a lane has left it (its generation moved on).
    pub fn bury(&mut self, member: &Member, priority: u32, jobs: &Jobs) {
        let group = self.group_mut(member);
        group.waiting -= 1;
        let place = lane_of(member, priority);
        if let Some(lane) = group.lanes.get_mut(&place) {
            lane.bury(jobs);
            if lane.len() == 0 {
                group.lanes.remove(&place);
            }
        }
        if group.waiting == 0 {
            self.unseat(member);
            self.forget_idle(member);
        }
    }

    /// A job of the member started.
    pub fn started(&mut self, member: &Member, config: &QueueConfig) {
        let cap = cap_of(member, config);
        let group = self.group_mut(member);
        group.active += 1;
        if cap.is_some_and(|cap| group.active >= cap) {
            self.unseat(member);
        }
    }

    /// A job of the member no longer runs.
    pub fn ended(&mut self, member: &Member, config: &QueueConfig, now: Millis) {
        let group = self.group_mut(member);
        group.active = group.active.saturating_sub(1);
        self.seat(member, config, now);
        self.forget_idle(member);
    }

    /// Holds the member back.
    pub fn limit(&mut self, member: &Member, until: Millis) {
        let group = self.group_mut(member);
        let was = group.limited_until;
        if until > was {
            group.limited_until = until;
            self.limited.remove(&(was, member.clone()));
            self.limited.insert((until, member.clone()));
            self.unseat(member);
            self.touch(member);
        }
    }

    /// Whether the member is held back, or was and has not been let go yet.
    pub fn is_held_back(&self, member: Option<&Arc<str>>, group: &Group) -> bool {
        self.limited.contains(&(group.limited_until, member.cloned()))
    }

    /// Lets members go on whose pause has ended. Returns when the next one ends.
    pub fn release_limited(&mut self, config: &QueueConfig, now: Millis) -> Option<Millis> {
        while let Some((until, member)) = self.limited.first().cloned() {
            if until > now {
                return Some(until);
            }
            self.limited.pop_first();
            self.seat(&member, config, now);
            self.forget_idle(&member);
        }
        None
    }

    /// Puts the member into the ring if it has work and room.
    fn seat(&mut self, member: &Member, config: &QueueConfig, now: Millis) {
        let cap = cap_of(member, config);
        let ticket = self.next_ticket;
        let group = self.group_mut(member);
        let fits = group.waiting > 0
            && group.limited_until <= now
            && group.ticket.is_none()
            && cap.is_none_or(|cap| group.active < cap);
        if fits {
            group.ticket = Some(ticket);
            self.ring.insert(ticket, member.clone());
            self.next_ticket += 1;
            self.touch(member);
        }
    }

    fn unseat(&mut self, member: &Member) {
        if let Some(ticket) = self.group_mut(member).ticket.take() {
            self.ring.remove(&ticket);
            self.touch(member);
        }
    }

    /// Drops what is left of a named group that has nothing any more, so that a million tenants leave no trace.
    fn forget_idle(&mut self, member: &Member) {
        let Some(name) = member else { return };
        let idle = self.named.get(name).is_some_and(|group| {
            group.waiting == 0
                && group.active == 0
                && !self.limited.contains(&(group.limited_until, member.clone()))
        });
        if idle {
            self.named.remove(name);
        }
    }

    /// Whether anything could start, limits of the whole queue aside.
    pub fn has_startable(&self) -> bool {
        !self.ring.is_empty()
    }

    /// The job that [`pop`](Self::pop) takes next.
    pub fn peek(&self, jobs: &Jobs) -> Option<Entry> {
        let (_, member) = self.ring.first_key_value()?;
        let (_, lane) = self.group(member.as_deref())?.lanes.first_key_value()?;
        lane.peek(jobs)
    }

    /// Takes the next job. The caller moves its generation on and calls [`started`](Self::started).
    pub fn pop(&mut self, jobs: &Jobs, config: &QueueConfig) -> Option<Entry> {
        let (ticket, member) =
            self.ring.first_key_value().map(|(ticket, member)| (*ticket, member.clone()))?;
        if self.turn.ticket != ticket || self.turn.left == 0 {
            self.turn = Turn { ticket, left: weight_of(&member, config) };
        }
        let group = self.group_mut(&member);
        let mut first = group.lanes.first_entry()?;
        let entry = first.get_mut().pop_front(jobs)?;
        if first.get().len() == 0 {
            first.remove();
        }
        group.waiting -= 1;
        let empty = group.waiting == 0;
        self.turn.left -= 1;
        if empty {
            self.unseat(&member);
        } else if self.turn.left == 0 && self.ring.len() > 1 {
            self.unseat(&member);
            let next = self.next_ticket;
            self.group_mut(&member).ticket = Some(next);
            self.touch(&member);
            self.ring.insert(next, member);
            self.next_ticket += 1;
        }
        Some(entry)
    }

    /// Empties everything but pauses and tickets, to be filled anew: the ring is then made from the tickets.
    pub fn clear_for_rebuild(&mut self) {
        for group in self.named.values_mut().chain([&mut self.plain]) {
            group.lanes.clear();
            group.waiting = 0;
            group.active = 0;
        }
    }

    /// A rebuild's running job.
    pub fn count_active(&mut self, member: &Member) {
        self.group_mut(member).active += 1;
    }

    /// A rebuild's waiting job, given in rising order.
    pub fn append(&mut self, member: &Member, priority: u32, entry: Entry) {
        let group = self.group_mut(member);
        group.lanes.entry(lane_of(member, priority)).or_default().push_back(entry);
        group.waiting += 1;
    }

    /// A store's word on a member.
    pub fn restore_member(&mut self, member: &Member, limited_until: Millis, ticket: Option<u64>) {
        let group = self.group_mut(member);
        group.limited_until = limited_until;
        group.ticket = ticket;
    }

    /// Makes ring and pauses anew from what the members say; members that lost their ticket go to the back, in the order in which
    /// their pauses ended.
    pub fn rebuild_ring(&mut self, config: &QueueConfig, now: Millis) {
        self.ring.clear();
        self.limited.clear();
        let members: Vec<Member> =
            std::iter::once(None).chain(self.named.keys().cloned().map(Some)).collect();
        let highest = members.iter().filter_map(|member| self.group_mut(member).ticket).max();
        self.next_ticket = self.next_ticket.max(highest.map_or(0, |ticket| ticket + 1));
        let mut unseated = Vec::new();
        for member in members {
            let cap = cap_of(&member, config);
            let group = self.group_mut(&member);
            let limited = group.limited_until > now;
            let fits = group.waiting > 0 && !limited && cap.is_none_or(|cap| group.active < cap);
            let until = group.limited_until;
            if fits {
                if let Some(ticket) = group.ticket {
                    self.ring.insert(ticket, member.clone());
                } else {
                    unseated.push((until, member.clone()));
                }
            } else {
                group.ticket = None;
            }
            if limited {
                self.limited.insert((until, member.clone()));
            }
            self.forget_idle(&member);
        }
        unseated.sort_unstable();
        for (_, member) in unseated {
            self.seat(&member, config, now);
        }
    }

    /// Waiting jobs after a place: those without a group first, then group by group in order of name; in each by priority and turn.
    pub fn walk<'a>(
        &'a self,
        after: Option<Place>,
        jobs: &'a Jobs,
    ) -> impl Iterator<Item = (Place, u32)> + 'a {
        let (member, priority, order) = after.unwrap_or((None, 0, i64::MIN));
        let plain = member.is_none().then_some((None, &self.plain));
        let from = member.as_ref().map_or(Bound::Unbounded, Bound::Included);
        let named = self.named.range::<Arc<str>, _>((from, Bound::Unbounded));
        let members = plain.into_iter().chain(named.map(|(name, group)| (Some(name), group)));
        let first = member.clone();
        let lanes = members.flat_map(move |(name, group)| {
            let from = if name == first.as_ref() { priority } else { 0 };
            group.lanes.range(from..).map(move |(priority, lane)| (name, *priority, lane))
        });
        lanes.flat_map(move |(name, here, lane)| {
            let begun = name == member.as_ref() && here == priority;
            let entries = lane.after(if begun { order } else { i64::MIN }, jobs);
            entries.map(move |entry| ((name.cloned(), here, entry.order), entry.slot))
        })
    }

    /// As [`members`](Self::members), from the group after `after` on.
    pub fn members_after(
        &self,
        after: Option<&Arc<str>>,
    ) -> impl Iterator<Item = (Option<&Arc<str>>, &Group)> {
        let plain = after.is_none().then_some((None, &self.plain));
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let named = self.named.range::<Arc<str>, _>((from, Bound::Unbounded));
        plain.into_iter().chain(named.map(|(name, group)| (Some(name), group)))
    }

    /// All members of the rotation.
    pub fn members(&self) -> impl Iterator<Item = (Option<&Arc<str>>, &Group)> {
        std::iter::once((None, &self.plain)).chain(self.named.iter().map(|(name, group)| (Some(name), group)))
    }
}

/// Which lane of a member takes a job: jobs of a named group have no priorities among them, whatever the queue's default was when each
/// was added.
pub(super) fn lane_of(member: &Member, priority: u32) -> u32 {
    if member.is_some() { 0 } else { priority }
}

fn cap_of(member: &Member, config: &QueueConfig) -> Option<u32> {
    config_of(member, config).concurrency
}

fn weight_of(member: &Member, config: &QueueConfig) -> u32 {
    config_of(member, config).weight.max(1)
}

fn config_of(member: &Member, config: &QueueConfig) -> crate::model::GroupConfig {
    member.as_ref().map_or(config.group_default, |name| config.group(name))
}
