//! The conformance suite on a Redis server.
#![cfg(feature = "redis")]

#[macro_use]
mod suite;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bulrush::backend::{RedisOptions, connect_redis_with};
use bulrush::clock::Clock;
use bulrush::port::{Backend, Error};
use suite::Rig;

/// Where the server is: `redis://HOST:PORT`, `unix:///PATH`, or the bare path of a socket.
fn address() -> String {
    let address = std::env::var("BULRUSH_TEST_REDIS").expect(
        "BULRUSH_TEST_REDIS names no server: run scripts/test, which starts one of its own, or set it to redis://HOST:PORT or \
         unix:///PATH of a server that may be filled with anything",
    );
    if address.starts_with('/') { format!("unix://{address}") } else { address }
}

/// A namespace that nobody has used: tests run in processes of their own, at once, and one after the other on the same server.
fn namespace() -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let random = getrandom_u64();
    format!("t{random:016x}-{}", MADE.fetch_add(1, Ordering::Relaxed))
}

/// Random bits by way of the standard library, whose hashers are seeded by the operating system.
fn getrandom_u64() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

async fn open(namespace: String, clock: Arc<dyn Clock>) -> Result<Arc<dyn Backend>, Error> {
    connect_redis_with(&address(), RedisOptions { namespace, clock: Some(clock), ..RedisOptions::default() })
        .await
}

async fn rig() -> Rig {
    let namespace = namespace();
    Rig::open(move |clock| {
        let namespace = namespace.clone();
        Box::pin(async move { open(namespace, clock).await.expect("the server can be reached") })
    })
    .await
}

conformance_suite!(rig);
