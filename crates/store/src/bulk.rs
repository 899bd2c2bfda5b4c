//! Many rows in one statement.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::hash::Hash;

use crate::db::MAX_BINDS;

/// Rows of `columns` values that go into one statement.
///
/// SQLite looks a parameter's name up by walking all of them, at each binding, so a statement's cost grows with the square of
/// its values: a few hundred are best (measured with the example `bulk_upsert`), far below [`MAX_BINDS`].
pub(crate) const fn rows_per_statement(columns: usize) -> usize {
    const BEST_BINDS: usize = 300;
    assert!(columns > 0 && BEST_BINDS <= MAX_BINDS);
    let rows = BEST_BINDS / columns;
    if rows == 0 { 1 } else { rows }
}

/// `($1, $5, $6), ($1, $7, $8)`: `rows` rows that begin with the `shared` values `$1` to `$shared`, bound once, followed by
/// `own` values each.
pub(crate) fn placeholders(rows: usize, shared: usize, own: usize) -> String {
    let mut text = String::with_capacity(rows * (shared + own) * 6);
    let mut next = shared;
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..shared + own {
            let number = if column < shared {
                column + 1
            } else {
                next += 1;
                next
            };
            // Writing to a string cannot fail.
            let _ = write!(text, "{}${number}", if column == 0 { "" } else { ", " });
        }
        text.push(')');
    }
    text
}

/// The last row of each key, in the order given. PostgreSQL refuses a statement that upserts one key twice; and the later row
/// is the one that separate statements would have left.
pub(crate) fn last_of_each<'r, T, K: Eq + Hash>(rows: &'r [T], key: impl Fn(&'r T) -> K) -> Vec<&'r T> {
    let mut seen = HashSet::with_capacity(rows.len());
    let mut kept: Vec<&'r T> = rows.iter().rev().filter(|row| seen.insert(key(row))).collect();
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_values_keep_their_numbers_and_own_values_count_on() {
        assert_eq!(placeholders(2, 1, 2), "($1, $2, $3), ($1, $4, $5)");
        assert_eq!(placeholders(1, 0, 2), "($1, $2)");
    }

    #[test]
    fn the_last_row_of_a_key_is_kept_in_order() {
        let rows = [("a", 1), ("b", 2), ("a", 3)];
        assert_eq!(last_of_each(&rows, |row| row.0), [&("b", 2), &("a", 3)]);
    }
}
