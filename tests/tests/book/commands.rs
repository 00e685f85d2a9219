//! Every command of the documents runs, or is parsed by the program that it is for.

use std::process::Output;
use std::sync::Mutex;
use std::{fs, thread};

use gstreamer as gst;

use crate::markdown::{Page, pages, root};
use crate::stand_ins::{PROGRAMS, Place};

/// What a block may be: what the reader types; and what is shown.
const SHOWN: [&str; 8] = ["c", "ini", "json", "python", "rust", "text", "toml", "yaml"];

/// Packages, tests and examples that a command of cargo names are there.
fn check_cargo(words: &[String]) -> Result<(), String> {
    let manifest = |folder: &str| -> toml::Table {
        let path = root().join(folder).join("Cargo.toml");
        fs::read_to_string(path).unwrap().parse().unwrap()
    };
    let workspace = manifest("");
    let crates: Vec<&str> = workspace["workspace"]["members"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|member| member.as_str())
        .collect();
    for pair in words.windows(2) {
        let (option, name) = (pair[0].as_str(), pair[1].as_str());
        let known = match option {
            "-p" | "--package" => crates
                .iter()
                .any(|folder| manifest(folder)["package"]["name"].as_str() == Some(name)),
            "--test" => crates.iter().any(|folder| {
                let tests = root().join(folder).join("tests");
                tests.join(format!("{name}.rs")).exists() || tests.join(name).join("main.rs").exists()
            }),
            "--example" => crates.iter().any(|folder| {
                let examples = root().join(folder).join("examples");
                examples.join(format!("{name}.rs")).exists() || examples.join(name).join("main.rs").exists()
            }),
            "--path" => root().join(name).join("Cargo.toml").exists(),
            _ => true,
        };
        if !known {
            return Err(format!("cargo {option} {name}: there is none"));
        }
    }
    Ok(())
}

/// A pipeline is built, with every element and property, and never started.
fn check_pipeline(words: &[String]) -> Result<(), String> {
    let words: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| !["-e", "-q", "-v", "-m"].contains(word))
        .collect();
    match gst::parse::launchv(&words) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Has programs parse commands; `Err` says what they said.
fn check(place: &Place, commands: &str) -> Result<(), String> {
    let output = place.run(commands);
    for words in place.kept("cargo") {
        check_cargo(&words)?;
    }
    for words in place.kept("gst-launch-1.0") {
        check_pipeline(&words)?;
    }
    told(&output)
}

fn told(output: &Output) -> Result<(), String> {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() && !said(&output.stderr).contains("WARN") {
        true => Ok(()),
        false => Err(format!(
            "{}\n{}{}",
            output.status,
            said(&output.stdout),
            said(&output.stderr)
        )),
    }
}

fn start_gstreamer() {
    gst::init().unwrap();
    gstfactorseg::plugin_register_static().unwrap();
}

/// The blocks of a page, in their order; what went wrong is added to `failures`.
fn blocks(page: &Page, parsing: &Place, failures: &mut Vec<String>) -> usize {
    let mut running = None;
    let mut count = 0;
    for block in &page.blocks {
        let place = format!("{}:{}", page.name, block.line);
        let (language, mark) = block.info.split_once(' ').unwrap_or((&block.info, ""));
        let result = match (language, mark) {
            ("sh", "") => {
                count += 1;
                let start = std::time::Instant::now();
                let result = told(&running.get_or_insert_with(Place::running).run(&block.text));
                println!("{place} ran for {:.1} s", start.elapsed().as_secs_f64());
                result
            }
            ("sh", mark) if mark == "long" || mark.starts_with("needs: ") => check(parsing, &block.text),
            (shown, "") if SHOWN.contains(&shown) => continue,
            _ => Err(format!(
                "`{}` is neither `sh`, `sh long`, `sh needs: SOMETHING` nor {SHOWN:?}",
                block.info
            )),
        };
        if let Err(error) = result {
            failures.push(format!("{place}: {}\n{error}", block.text));
        }
    }
    count
}

/// Commands in the text of a page are parsed; what went wrong is added to `failures`.
fn inline(page: &Page, parsing: &Place, failures: &mut Vec<String>) {
    // The lab book tells of commands as they were.
    for code in page.inline_code().filter(|_| page.name != "docs/lab-book.md") {
        let first = code.split(' ').find(|word| !word.contains('=')).unwrap_or_default();
        let known = PROGRAMS.contains(&first) || ["cargo", "gst-launch-1.0", "mpirun", "time"].contains(&first);
        let script = first.ends_with(".sh") && first.contains('/');
        // Three dots stand for what is not said; a part of a pipeline is no command.
        let whole = !code.contains("...") && (first == "gst-launch-1.0" || !code.contains(" ! "));
        if whole
            && (known || script)
            && code.contains(' ')
            && let Err(error) = check(parsing, &code)
        {
            failures.push(format!("{}: {code}\n{error}", page.name));
        }
    }
}

/// Blocks of a page follow one another; pages share the processors, as most of what they run uses one.
#[test]
fn every_command_runs_or_is_parsed() {
    start_gstreamer();
    let mut pages = pages();
    pages.push(Page::read("plugin/src/factorseg/mod.rs"));
    let left = Mutex::new(pages.iter());
    let work = || {
        let (parsing, mut failures, mut ran) = (Place::parsing(), Vec::new(), 0);
        let next = || left.lock().unwrap().next();
        while let Some(page) = next() {
            ran += blocks(page, &parsing, &mut failures);
            inline(page, &parsing, &mut failures);
        }
        (failures, ran)
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let (failures, ran): (Vec<_>, Vec<_>) = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).unzip()
    });
    let (failures, ran) = (failures.concat(), ran.iter().sum::<usize>());
    println!("{ran} blocks ran");
    assert!(ran >= 15, "{ran} blocks ran");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_does_not_exist_is_found() {
    start_gstreamer();
    let place = Place::parsing();
    check(
        &place,
        "cargo test -p factorseg-tests --test book\nmpirun -n 2 factorseg train photos --run runs/a",
    )
    .unwrap();
    for (command, expected) in [
        ("factorseg train photos --runs runs/a", "--runs"),
        ("factorseg paint photos", "unrecognized subcommand"),
        (
            "FACTORSEG=1 mpirun -n 4 factorseg train photos --run a --preset huge",
            "huge",
        ),
        (
            "gst-launch-1.0 videotestsrc ! factorseg overlay=sparkles ! fakesink",
            "overlay",
        ),
        ("gst-launch-1.0 videotestsrc ! factorseq ! fakesink", "factorseq"),
        ("cargo test -p factorseg-nothing", "factorseg-nothing"),
        ("cargo run --example none", "none"),
        ("scripts/none.sh", "none.sh"),
        ("unheard-of --option", "unheard-of"),
    ] {
        let error = check(&place, command).expect_err(command);
        assert!(error.contains(expected), "{command}: {error}");
    }
}
