//! Settings of schedules for clap.

use bulrush::model::ScheduleError;
use bulrush_catalog::schedules::{DefaultSchedule, defaults};
use bulrush_catalog::{Catalog, nearest_zone};
use bulrush_service::Problems;
use clap::Args;

/// Which schedules there are from the first start.
#[derive(Debug, Clone, Args)]
pub struct ScheduleArgs {
    /// The time zone of the schedules that are there from the first start, by its IANA name; it counts when they are put, and that is once.
    #[arg(long, env = "BULRUSH_SCHEDULES_ZONE", value_name = "ZONE", default_value = "UTC")]
    pub schedules_zone: String,
    /// Put no schedules at the first start.
    #[arg(long, env = "BULRUSH_NO_DEFAULT_SCHEDULES")]
    pub no_default_schedules: bool,
}

impl ScheduleArgs {
    /// The schedules that are put once ever; what is wrong is noted.
    pub fn defaults(&self, catalog: &Catalog, problems: &mut Problems) -> Vec<DefaultSchedule> {
        if self.no_default_schedules {
            return Vec::new();
        }
        defaults(catalog, &self.schedules_zone).unwrap_or_else(|error| {
            let near = match &error {
                ScheduleError::Zone { .. } => nearest_zone(&self.schedules_zone),
                _ => None,
            };
            let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            problems.push("BULRUSH_SCHEDULES_ZONE", format!("{error}{hint}"));
            Vec::new()
        })
    }
}
