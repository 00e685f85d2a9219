//! The program's commands.

mod arguments;
mod bench;
mod evaluate;
mod export;
mod generate;
mod generator;
mod import;
mod inspect;
mod interpolate;
mod masks;
mod pack;
mod packing;
mod recipes;
mod resume;
mod segment;
mod segment_video;
mod segmenter;
mod serve;
mod train;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser, Subcommand};
use factorseg_manual::Manual;

use crate::data::DataError;
use crate::training::parallel::Ranks;
use crate::training::run::Ending;
use crate::training::run::signals::INTERRUPTED;

/// Trains and uses factorized diffusion models: segmentation learned from unlabelled images.
#[derive(Debug, Parser)]
#[command(name = "factorseg", version, about, propagate_version = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 bad usage, 130 interrupted (state saved).")]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "one value in the life of the program")]
enum Command {
    Train(train::Train),
    Resume(resume::Resume),
    Inspect(inspect::Inspect),
    Recipes(recipes::Recipes),
    Evaluate(evaluate::Evaluate),
    Segment(segment::Segment),
    Generate(generate::Generate),
    Interpolate(interpolate::Interpolate),
    Export(export::Export),
    Pack(pack::Pack),
    Bench(bench::Bench),
    Serve(serve::Serve),
    Import(import::Import),
    Manual(Manual),
}

impl Command {
    /// Whether it is one job of all processes that a launcher has started.
    fn trains(&self) -> bool {
        matches!(self, Self::Train(_) | Self::Resume(_) | Self::Bench(_))
    }

    /// Whether nothing is lost if it ends when nobody reads its output any more. Training goes on then, and a
    /// connection that is closed ends neither a server nor what reads from one.
    fn only_prints(&self) -> bool {
        !matches!(self, Self::Train(_) | Self::Resume(_) | Self::Pack(_) | Self::Serve(_))
    }
}

/// Ends the program silently once whoever reads its output has gone, as `head` does. Rust ignores the signal for this,
/// and `println!` panics instead.
fn end_with_the_reader() {
    // SAFETY: it is the system's own handler, set before there is any other thread.
    #[cfg(unix)]
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

/// Runs the command line; the exit code is documented in its help.
pub fn main() -> ExitCode {
    let program = Program::parse();
    if program.command.only_prints() {
        end_with_the_reader();
    }
    let ranks = match program.command.trains() {
        true => Ranks::join(),
        false => Ok(Ranks::alone()),
    };
    let ranks = match ranks {
        Ok(ranks) => ranks,
        Err(error) => {
            eprintln!("error: {}", explain(&error));
            return ExitCode::FAILURE;
        }
    };
    let result = match program.command {
        Command::Train(command) => command.run(&ranks),
        Command::Resume(command) => command.run(&ranks),
        Command::Inspect(command) => command.run(),
        Command::Recipes(command) => command.run(),
        Command::Evaluate(command) => command.run(),
        Command::Segment(command) => command.run(),
        Command::Generate(command) => command.run(),
        Command::Interpolate(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Pack(command) => command.run(),
        Command::Bench(command) => command.run(&ranks),
        Command::Serve(command) => command.run(),
        Command::Import(command) => command.run(),
        Command::Manual(command) => command
            .write(Program::command())
            .context("cannot write the manual")
            .map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => code,
        Err(error) if matches!(error.downcast_ref(), Some(DataError::Interrupted)) => {
            ranks.abort();
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            let rank = if ranks.lead() {
                String::new()
            } else {
                format!("{}: ", ranks.name())
            };
            eprintln!("error: {rank}{}", explain(&error));
            ranks.abort();
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes, each said once: some say their cause themselves.
fn explain(error: &anyhow::Error) -> String {
    let mut said = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !said.contains(&cause) {
            said += ": ";
            said += &cause;
        }
    }
    said
}

fn exit_code(ending: Ending) -> ExitCode {
    match ending {
        Ending::Done => ExitCode::SUCCESS,
        Ending::Interrupted => ExitCode::from(INTERRUPTED),
    }
}

/// Limits the threads of the CPU device; 0 leaves it to the system.
fn set_threads(threads: usize) -> Result<()> {
    if threads > 0 {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
