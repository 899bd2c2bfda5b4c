//! The scenarios: what is done to a run, and what must hold.

mod clocks;
mod kill;
mod memory;
mod network;
mod outage;
mod power;
mod stall;
pub(crate) mod tick;
mod trace;

use std::path::PathBuf;

use crate::field::{Need, Scenario};
use crate::process::is_installed;

/// All of them, in the order in which they are run.
pub const ALL: &[Scenario] = &[
    kill::K1,
    tick::K2,
    kill::K4,
    kill::K5,
    kill::O3,
    kill::O3_MEMORY,
    stall::Z1,
    tick::Z2,
    stall::Z3,
    stall::DEADLOCK,
    outage::R1,
    outage::R1_LONG,
    outage::R2,
    outage::R2_STANDARD,
    power::R3,
    power::R3_STANDARD,
    power::R3_AGAIN,
    power::R4,
    outage::R5,
    outage::R5_WRITE,
    outage::R6,
    outage::R7,
    network::N1,
    network::N2,
    network::N3,
    network::N4,
    memory::O1,
    clocks::C1,
    clocks::C2,
    clocks::C2_KILL,
];

/// A scenario by its name.
pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name.eq_ignore_ascii_case(name))
}

/// What keeps a scenario from being run here, if anything does.
pub fn missing(scenario: &Scenario) -> Option<String> {
    scenario.needs.iter().find_map(|need| match need {
        Need::Strace => {
            (!is_installed("strace")).then(|| "strace is not installed (apt-get install strace)".to_owned())
        }
        Need::Faketime => {
            faketime().is_none().then(|| "libfaketime is not installed (apt-get install faketime)".to_owned())
        }
    })
}

/// The library that fakes the time of day.
pub fn faketime() -> Option<PathBuf> {
    let folders = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/usr/local/lib",
    ];
    let places = folders.iter().flat_map(|folder| {
        [format!("{folder}/faketime/libfaketimeMT.so.1"), format!("{folder}/libfaketimeMT.so.1")]
    });
    places.map(PathBuf::from).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_scenario_has_a_name_of_its_own() {
        let names: BTreeSet<String> = ALL.iter().map(|scenario| scenario.name.to_ascii_lowercase()).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|scenario| find(scenario.name).is_some()));
    }

    #[test]
    fn the_smoke_set_needs_nothing_but_a_server() {
        let smoke: Vec<_> = ALL.iter().filter(|scenario| scenario.smoke).collect();
        assert!(smoke.len() >= 6 && smoke.iter().all(|scenario| scenario.needs.is_empty()));
    }
}
