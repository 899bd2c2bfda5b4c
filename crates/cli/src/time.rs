//! Moments as people read them.

use bulrush::model::Millis;

/// A moment in UTC to the second; empty for none.
pub fn moment(at: Option<Millis>) -> String {
    let stamp = at.and_then(|at| jiff::Timestamp::from_millisecond(i64::try_from(at).ok()?).ok());
    stamp.map_or(String::new(), |stamp| stamp.strftime("%Y-%m-%d %H:%M:%S").to_string())
}
