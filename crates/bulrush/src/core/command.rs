//! Every command as a value, and the one door through which all of them go: what random tests, the simulation and comparisons between
//! backends use. Backends call the methods directly.

use super::Core;
use crate::model::{
    JobId, JobPage, JobView, Millis, NewJob, PageRequest, QueueConfig, QueueName, ScheduleId, SchedulePage,
    ScheduleSpec, Scope,
};
use crate::port::{
    AddReply, AdminCommand, AdminReply, DuePlace, DueSchedules, Error, Fire, FireReply, Maintained,
    OutboxEntry, Put, PutReply, Renew, RenewReply, Resume, ResumeReply, ScheduleChange, ScheduleResult,
    Settled, Step, StepReply, Update,
};

/// A command to a queue.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "each variant is the method of its name")]
pub enum Command {
    Add(Vec<NewJob>),
    Step(Step),
    Resume(Resume),
    Renew(Renew),
    Update(Vec<Update>),
    Maintain,
    Configure(Box<QueueConfig>),
    Admin(AdminCommand),
    Deliver(QueueName, Vec<OutboxEntry>),
    Acknowledge(Vec<u64>),
    Get(Vec<JobId>),
    Page(PageRequest),
    /// With the slot that the schedule gets if its timing is new.
    PutSchedule(Box<ScheduleSpec>, Option<Millis>, Put),
    /// With the slot that each of them gets if its timing is new.
    PutSchedules(Vec<(ScheduleSpec, Option<Millis>)>, Put),
    /// With the slot with which one goes on that is enabled.
    ChangeSchedules(Vec<ScheduleId>, ScheduleChange, Option<Millis>),
    Fire(Vec<Fire>),
    DueSchedules(Option<DuePlace>, usize),
    ListSchedules(Option<ScheduleId>, usize),
}

/// The answer to a [`Command`].
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each variant is the answer of the method of its name")]
pub enum Reply {
    Add(AddReply),
    Step(StepReply),
    Resume(ResumeReply),
    Renew(RenewReply),
    Update(Vec<Settled>),
    Maintain(Maintained),
    Admin(AdminReply),
    Deliver(Vec<OutboxEntry>),
    Get(Vec<Option<JobView>>),
    Page(JobPage),
    PutSchedule(Box<PutReply>),
    PutSchedules(Vec<PutReply>),
    ChangeSchedules(Vec<ScheduleResult>),
    Fire(FireReply),
    DueSchedules(DueSchedules),
    ListSchedules(SchedulePage),
    Done,
}

impl Core {
    /// Carries out a command at a moment.
    ///
    /// # Errors
    /// As the method of the command's name; nothing was changed.
    pub fn apply(&mut self, command: Command, now: Millis) -> Result<Reply, Error> {
        Ok(match command {
            Command::Add(jobs) => Reply::Add(self.add(jobs, now)?),
            Command::Step(step) => Reply::Step(self.step(step, now)?),
            Command::Resume(resume) => Reply::Resume(self.resume(&resume, now)?),
            Command::Renew(renew) => Reply::Renew(self.renew(&renew, now)),
            Command::Update(updates) => Reply::Update(self.update(updates, now)?),
            Command::Maintain => Reply::Maintain(self.maintain(now)),
            Command::Configure(config) => {
                self.configure(*config, now)?;
                Reply::Done
            }
            Command::Admin(command) => Reply::Admin(self.admin(command, now)?),
            Command::Deliver(source, entries) => Reply::Deliver(self.deliver(&source, entries, now)?),
            Command::Acknowledge(entries) => {
                self.acknowledge(&entries, now)?;
                Reply::Done
            }
            Command::Get(ids) => Reply::Get(self.get(&ids)),
            Command::Page(request) => Reply::Page(self.page(&request)?),
            Command::PutSchedule(spec, first, put) => {
                Reply::PutSchedule(Box::new(self.put_schedule(&Scope::All, *spec, first, put, now)?))
            }
            Command::PutSchedules(asked, put) => {
                let (specs, firsts): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
                Reply::PutSchedules(self.put_schedules(&Scope::All, specs, &firsts, put, now)?)
            }
            Command::ChangeSchedules(ids, change, first) => Reply::ChangeSchedules(self.change_schedules(
                &Scope::All,
                &ids,
                change,
                |_, _| Ok(first),
                now,
            )?),
            Command::Fire(fires) => Reply::Fire(self.fire(&fires, now)?),
            Command::DueSchedules(after, limit) => {
                Reply::DueSchedules(self.due_schedules(after.as_ref(), limit, now))
            }
            Command::ListSchedules(after, limit) => {
                Reply::ListSchedules(self.list_schedules(&Scope::All, after.as_ref(), limit))
            }
        })
    }
}
