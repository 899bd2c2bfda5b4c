//! The list of mutants: faults that `scripts/mutants` puts into the engine on purpose, one at a time, to see whether the tests notice.
//!
//! Here the list itself is held to the sources, so that it cannot fall behind them. A file of it (`mutants/*.txt`) holds mutants like
//!
//! ```text
//! = name-of-the-mutant
//! what the guard that it switches off or turns round
//! file src/core/lease.rs
//! test memory lease::the_case_that_is_to_notice
//! - a piece of the file, which stands there once
//! + what takes its place
//! ```
//!
//! A piece may have several lines, each behind its sign, and begin and end within a line. Of `test` there may be several: the program and
//! the test in it. Lines that begin with `#` are notes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A fault to put in.
#[derive(Debug, Default)]
struct Mutant {
    name: String,
    what: String,
    file: String,
    tests: Vec<(String, String)>,
    find: Vec<String>,
    replace: Vec<String>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()))
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn mutants() -> Vec<Mutant> {
    let mut mutants: Vec<Mutant> = Vec::new();
    for list in files(&root().join("tests/mutants")) {
        for (n, line) in read(&list).lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = format!("{}:{}", list.display(), n + 1);
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            if word == "=" {
                mutants.push(Mutant { name: rest.to_owned(), ..Mutant::default() });
                continue;
            }
            let mutant = mutants.last_mut().unwrap_or_else(|| panic!("{at}: no mutant has begun"));
            match word {
                "what" => rest.clone_into(&mut mutant.what),
                "file" => rest.clone_into(&mut mutant.file),
                "test" => {
                    let (program, test) = rest.split_once(' ').unwrap_or_else(|| panic!("{at}: {line}"));
                    mutant.tests.push((program.to_owned(), test.to_owned()));
                }
                "-" => mutant.find.push(rest.to_owned()),
                "+" => mutant.replace.push(rest.to_owned()),
                _ => panic!("{at}: no line begins with {word:?}"),
            }
        }
    }
    mutants
}

#[test]
fn every_mutant_still_fits_the_sources() {
    let tests: String = files(&root().join("tests")).iter().map(|path| read(path)).collect();
    let mut names = BTreeSet::new();
    let mut wrong = Vec::new();
    for mutant in mutants() {
        let find = mutant.find.join("\n");
        let place = root().join(&mutant.file);
        let text = read(&place);
        let in_file = text.matches(&find).count();
        // A script is known by its head when it is sent to the server.
        let is_script = place.extension().is_some_and(|extension| extension == "lua");
        let head = format!("-- {}: ", place.file_name().unwrap_or_default().display());
        let mut is = |holds: bool, problem: String| {
            if !holds {
                wrong.push(format!("{}: {problem}", mutant.name));
            }
        };
        is(names.insert(mutant.name.clone()), "two have this name".into());
        is(!mutant.what.is_empty(), "it does not say what it switches off".into());
        is(!find.is_empty() && in_file == 1, format!("its piece stands {in_file} times in {}", mutant.file));
        is(!is_script || text.contains(&head), format!("no line of {} begins {head:?}", mutant.file));
        is(find != mutant.replace.join("\n"), "it changes nothing".into());
        is(!mutant.tests.is_empty(), "it names no test".into());
        for (program, test) in &mutant.tests {
            let function = test.rsplit("::").next().unwrap_or_default();
            is(root().join(format!("tests/{program}.rs")).is_file(), format!("there is no {program}.rs"));
            is(tests.contains(&format!("fn {function}(")), format!("there is no test {function}"));
        }
    }
    assert!(wrong.is_empty(), "mend tests/mutants:\n{}", wrong.join("\n"));
}

#[test]
fn the_page_of_mutants_shows_all_of_them_and_no_others() {
    let page = read(&root().join("../../docs/mutants.md"));
    let cell = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    let shown: BTreeSet<String> = page.lines().filter_map(cell).collect();
    let listed: BTreeSet<String> = mutants().into_iter().map(|mutant| mutant.name).collect();
    assert_eq!(shown, listed, "run scripts/mutants --write");
}
