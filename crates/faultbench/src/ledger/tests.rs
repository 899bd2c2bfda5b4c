use super::*;

/// A ledger from lines that come a millisecond after one another, and what the store says.
#[derive(Default)]
struct Story {
    lines: Vec<Line>,
    kept: Kept,
    died: BTreeMap<u32, u64>,
}

impl Story {
    fn tell(mut self, pid: u32, what: What) -> Self {
        let at = 1_000 * (self.lines.len() as u64 + 1);
        self.lines.push(Line { at, pid, what });
        self
    }

    fn added(self, job: &str) -> Self {
        let job = job.to_owned();
        self.tell(1, What::Sent { job: job.clone() }).tell(1, What::Acknowledged { job })
    }

    fn begins(self, pid: u32, job: &str, token: &str) -> Self {
        self.tell(pid, What::Begin { job: job.to_owned(), token: token.to_owned() })
    }

    fn ends(self, pid: u32, job: &str, token: &str) -> Self {
        let (job, effect) = (job.to_owned(), format!("by {token}"));
        self.tell(pid, What::End { job, token: token.to_owned(), how: How::Done, effect })
    }

    fn settles(self, pid: u32, job: &str, token: &str) -> Self {
        let (job, token) = (job.to_owned(), token.to_owned());
        self.tell(pid, What::Settle { job, token, completed: true, accepted: true })
    }

    fn keeps(mut self, job: &str, state: JobState, token: &str) -> Self {
        let result = (state == JobState::Completed).then(|| format!("by {token}"));
        let settled_by = Some(token.to_owned());
        let stored = Stored { state, attempts: 1, stalls: 0, result, settled_by, error: None };
        self.kept.jobs.insert(job.to_owned(), stored);
        self
    }

    fn dies(mut self, pid: u32) -> Self {
        self.died.insert(pid, 1_000 * self.lines.len() as u64 + 500);
        self
    }

    fn ledger(&self) -> Ledger {
        Ledger::read(self.lines.clone(), self.died.clone())
    }

    fn classes(&self) -> Vec<(Class, usize)> {
        let findings = self.ledger().classify(&self.kept, false);
        findings.into_iter().map(|(class, texts)| (class, texts.len())).collect()
    }
}

fn good() -> Story {
    let story = Story::default().added("a").begins(2, "a", "1.w").ends(2, "a", "1.w").settles(2, "a", "1.w");
    story.keeps("a", JobState::Completed, "1.w")
}

#[test]
fn a_job_that_went_well_is_in_no_class() {
    assert_eq!(good().classes(), []);
}

#[test]
fn an_acknowledged_job_without_a_run_that_the_store_does_not_have_is_lost() {
    assert_eq!(good().added("b").classes(), [(Class::Lost, 1)]);
    let interrupted = good().added("b").begins(2, "b", "1.x").dies(2);
    assert_eq!(interrupted.classes(), [(Class::Lost, 1)]);
}

#[test]
fn a_job_that_nobody_knows_of_may_be_there_or_not() {
    let sent = |story: Story| story.tell(1, What::Sent { job: "b".to_owned() });
    assert_eq!(sent(good()).classes(), []);
    assert_eq!(sent(good()).keeps("b", JobState::Waiting, "").classes(), [(Class::Stuck, 1)]);
}

#[test]
fn a_job_that_is_completed_although_nobody_ran_it_is_lost() {
    assert_eq!(good().added("b").keeps("b", JobState::Completed, "1.x").classes(), [(Class::Lost, 1)]);
}

#[test]
fn a_record_that_is_gone_after_a_good_run_is_told_from_a_lost_job() {
    let mut story = good();
    story.kept.jobs.clear();
    assert_eq!(story.classes(), [(Class::Gone, 1)]);
    assert!(story.ledger().classify(&story.kept, true).is_empty(), "retention took it");
}

#[test]
fn jobs_that_nobody_added_are_phantoms() {
    assert_eq!(good().keeps("p", JobState::Waiting, "").classes(), [(Class::Phantom, 1), (Class::Stuck, 1)]);
    assert_eq!(good().begins(2, "p", "1.x").ends(2, "p", "1.x").classes(), [(Class::Phantom, 1)]);
    let refused = |story: Story| {
        let story = story.tell(1, What::Sent { job: "r".to_owned() });
        story.tell(1, What::Refused { job: "r".to_owned(), why: String::new(), memory: true })
    };
    assert_eq!(refused(good()).classes(), []);
    assert_eq!(refused(good()).begins(2, "r", "1.x").classes(), [(Class::Phantom, 1)]);
}

#[test]
fn a_run_after_a_good_end_is_a_serial_duplicate() {
    assert_eq!(good().begins(3, "a", "2.x").classes(), [(Class::DuplicateSerial, 1)]);
}

#[test]
fn a_run_after_one_whose_process_died_is_no_duplicate() {
    let story = Story::default().added("a").begins(2, "a", "1.w").dies(2).begins(3, "a", "2.x");
    let story = story.ends(3, "a", "2.x").keeps("a", JobState::Completed, "2.x");
    assert_eq!(story.classes(), []);
}

#[test]
fn a_run_beside_another_one_is_an_overlapping_duplicate() {
    let story = Story::default().added("a").begins(2, "a", "1.w").begins(3, "a", "2.x").ends(2, "a", "1.w");
    let story = story.ends(3, "a", "2.x").keeps("a", JobState::Completed, "2.x");
    assert_eq!(story.classes(), [(Class::DuplicateOverlapping, 1)]);
}

#[test]
fn a_result_that_is_not_of_the_run_that_settled_is_wrong() {
    let mut story = good();
    if let Some(stored) = story.kept.jobs.get_mut("a") {
        stored.result = Some("by 9.z".to_owned());
    }
    assert_eq!(story.classes(), [(Class::WrongResult, 1)]);
    assert_eq!(good().keeps("a", JobState::Completed, "9.z").classes(), [(Class::WrongResult, 1)]);
}

#[test]
fn two_accepted_settles_and_a_token_issued_twice_are_told() {
    let twice = good().begins(3, "a", "2.x").ends(3, "a", "2.x").settles(3, "a", "2.x");
    assert_eq!(twice.classes(), [(Class::DuplicateSerial, 1), (Class::SettledTwice, 1)]);
    let same = good().begins(3, "a", "1.w");
    assert_eq!(same.classes(), [(Class::DuplicateSerial, 1), (Class::TokenReissued, 1)]);
}

#[test]
fn what_fails_and_what_the_store_finds_is_told() {
    let mut story = good().added("b").keeps("b", JobState::Failed, "1.x");
    story.kept.findings.push("invariant 1".to_owned());
    assert_eq!(story.classes(), [(Class::Failed, 1), (Class::Ghost, 1)]);
}

#[test]
fn in_flight_is_what_was_begun_and_not_settled_when_the_fault_came() {
    // Lines 1 to 5 are of `a`; `b` begins at 8 ms, its process dies at 8.5 ms, and it begins again at 9 ms.
    let story = good().added("b").begins(3, "b", "1.x").dies(3).begins(4, "b", "2.y");
    let ledger = story.ledger();
    let fault =
        |from, to, pid| Fault { what: "kill".to_owned(), from, to, pids: Some([pid].into()), heals: true };
    let hit = |fault: &Fault| ledger.in_flight(fault).map(|(job, _)| job.clone()).collect::<Vec<_>>();
    assert_eq!(hit(&fault(3_500, 3_600, 2)), ["a"], "its handler has not ended");
    assert_eq!(hit(&fault(4_500, 4_600, 2)), ["a"], "its handler has ended, its settle was not answered");
    assert_eq!(hit(&fault(5_500, 5_600, 2)), Vec::<String>::new());
    assert_eq!(hit(&fault(3_500, 3_600, 3)), Vec::<String>::new(), "another process");
    let kill = fault(8_200, 8_500, 3);
    assert_eq!(hit(&kill), ["b"]);
    assert_eq!(ledger.recoveries(&kill), [0], "less than a millisecond from the fault to the next start");
    assert_eq!(ledger.resumed(&Fault { pids: None, ..kill }), Some(0));
    assert_eq!(ledger.completed(0, 5_001), 1);
}
