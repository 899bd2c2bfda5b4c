//! A local stand-in for the outside world. It speaks the upstreams' real wire formats, on their real paths:
//!
//! | upstream | path |
//! |---|---|
//! | Open-Meteo | `/v1/archive`, `/v1/forecast` |
//! | Nager.Date | `/api/v3/PublicHolidays/{year}/{country}` |
//! | Calendarific | `/api/v2/holidays` (any key but those that start with `invalid`) |
//! | OpenHolidays | `/SchoolHolidays` |
//! | pages of hotels | `/hotels/{hotel}?checkin=&checkout=&adults=`, with a `/robots.txt` |
//!
//! The same question has the same answer on every machine, at any time: weather comes from a climate by latitude and season
//! with noise from a hash of place and day, holidays from the rules of ten countries for 1990 to 2100, prices from season, day of the week and a hash. Around Seattle-Tacoma,
//! 2012 to 2015, the weather is what was really observed. Answers carry an `ETag` and honour `If-None-Match`.
//!
//! It fails on request ([`Fault`]): the next answers of a path through `POST /sandbox/faults` or [`Sandbox::fail`], or a
//! single request that says so itself (header `x-sandbox-fault` or query `sandbox_fault`, such as `server-error=503`). What
//! was asked stands at `GET /sandbox/requests` and in [`Sandbox::requests`], so a test can tell how often.
//!
//! Beside it, on a port of its own, a [`Bucket`] that speaks S3, for tests of what keeps files there.
//!
//! There is no access control: whoever reaches the port can make it fail. It listens on loopback unless told otherwise.

mod admin;
mod bucket;
mod faults;
mod hash;
mod holidays;
mod hotels;
mod pipeline;
mod requests;
mod server;
mod weather;

pub use bucket::{Bucket, BucketCounts, BucketFault, BucketOperation, BucketPlan};
pub use faults::{Fault, FaultError, FaultPlan};
pub use requests::{PathCount, QueryCount, RequestCounts};
pub use server::{Sandbox, SandboxConfig, StartError};
