//! Where queues live. Each backend implements [`crate::port::Backend`]; the conformance suite holds all of them to the core's meaning.

mod embedded;
mod file;
mod open;
#[cfg(feature = "redis")]
mod redis;

pub use embedded::Embedded;
pub use file::{FileLook, look as look_at_file};
#[cfg(feature = "redis")]
pub use open::connect_redis_with;
pub use open::{connect, connect_with};
#[cfg(feature = "redis")]
pub use redis::{REDIS_SETTINGS, Redis, RedisInfo, RedisOptions, redis_client};
