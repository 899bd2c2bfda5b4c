//! The migrations are embedded by a macro that sees changed files but not new ones; this makes a new file rebuild the crate.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
