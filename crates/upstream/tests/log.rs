//! What the clients log. Alone in its process: whether a line is logged is decided once per process, by whoever logs first.

mod common;

use std::io;
use std::sync::{Arc, Mutex};

use bulrush_sandbox::Fault;
use bulrush_upstream::Secret;
use common::{World, country};

/// Looks like a key, is in no other text.
const CANARY: &str = "canary+7f3a/9e=";

/// Keeps what is logged.
#[derive(Clone, Default)]
struct LogBuffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for LogBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no test panics while it logs").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_key_is_in_no_log_line_at_any_level() {
    let log = LogBuffer::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .init();
    let world = World::with(|config| config.calendarific_key = Some(Secret::new(CANARY).unwrap()));
    world.fail(1, Fault::ServerError { status: 500 });
    world.upstreams.holidays.public(country("US"), 2024, None).await.unwrap();
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("asking again") && log.contains("api_key=***"), "{log}");
    assert!(!log.contains("canary") && !log.contains("7f3a"), "{log}");
}
