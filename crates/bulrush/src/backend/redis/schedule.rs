//! Schedules.

use super::Redis;
use crate::model::{Millis, QueueName, ScheduleId, SchedulePage, ScheduleSpec, ScheduleView, Scope};
use crate::port::{
    BoxFuture, DueSchedules, Error, Fire, FireReply, Put, PutReply, Result, ScheduleChange, ScheduleResult,
    Schedules,
};

fn not_yet<'a, T: Send + 'a>() -> BoxFuture<'a, Result<T>> {
    let reason = "schedules are not kept on Redis yet".to_owned();
    Box::pin(std::future::ready(Err(Error::Unreachable { reason })))
}

impl Schedules for Redis {
    fn put_schedule<'a>(
        &'a self,
        _: &'a QueueName,
        _: &'a Scope,
        _: ScheduleSpec,
        _: Put,
    ) -> BoxFuture<'a, Result<PutReply>> {
        not_yet()
    }

    fn change_schedules<'a>(
        &'a self,
        _: &'a QueueName,
        _: &'a Scope,
        _: Vec<ScheduleId>,
        _: ScheduleChange,
    ) -> BoxFuture<'a, Result<Vec<ScheduleResult>>> {
        not_yet()
    }

    fn get_schedules<'a>(
        &'a self,
        _: &'a QueueName,
        _: &'a Scope,
        _: Vec<ScheduleId>,
    ) -> BoxFuture<'a, Result<Vec<Option<ScheduleView>>>> {
        not_yet()
    }

    fn list_schedules<'a>(
        &'a self,
        _: &'a QueueName,
        _: &'a Scope,
        _: Option<ScheduleId>,
        _: usize,
    ) -> BoxFuture<'a, Result<SchedulePage>> {
        not_yet()
    }

    fn due_schedules<'a>(&'a self, _: &'a QueueName, _: usize) -> BoxFuture<'a, Result<DueSchedules>> {
        not_yet()
    }

    fn fire<'a>(&'a self, _: &'a QueueName, _: Vec<Fire>) -> BoxFuture<'a, Result<FireReply>> {
        not_yet()
    }

    fn wait_due<'a>(&'a self, _: &'a QueueName, _: Millis) -> BoxFuture<'a, Result<()>> {
        not_yet()
    }
}
