//! The command line.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser, Subcommand};
use factorseg_manual::Manual;
use gstreamer as gst;

use crate::background::Background;
use crate::davis::Davis;
use crate::live::Live;
use crate::masks::Masks;
use crate::mosaic::Mosaic;
use crate::overlay::Overlay;
use crate::runner::{Ending, Stop};

/// Exit code of an interrupted program.
const INTERRUPTED: u8 = 130;

/// Ready pipelines around factorseg: unsupervised segmentation of files, cameras and streams.
#[derive(Debug, Parser)]
#[command(name = "factorseg-pipeline", version, propagate_version = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 bad usage, 130 interrupted (what was done by then is whole).\n\
    The first Ctrl-C finishes the file, the second ends at once."
)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Pipeline(Pipeline),
    Manual(Manual),
}

#[derive(Debug, Subcommand)]
enum Pipeline {
    Overlay(Overlay),
    Background(Background),
    Masks(Masks),
    Davis(Davis),
    Mosaic(Mosaic),
    Live(Live),
}

impl Pipeline {
    async fn run(self, stop: &Stop) -> Result<Ending> {
        match self {
            Self::Overlay(command) => command.run(stop).await,
            Self::Background(command) => command.run(stop).await,
            Self::Masks(command) => command.run(stop).await,
            Self::Davis(command) => command.run(stop).await,
            Self::Mosaic(command) => command.run(stop).await,
            Self::Live(command) => command.run(stop).await,
        }
    }
}

/// Runs the command line; the exit code is documented in its help.
pub fn main() -> ExitCode {
    match run(Program::parse().command) {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(error) => {
            eprintln!("factorseg-pipeline: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<Ending> {
    match command {
        Command::Pipeline(pipeline) => play(pipeline),
        Command::Manual(manual) => {
            manual.write(Program::command()).context("cannot write the manual")?;
            Ok(Ending::Done)
        }
    }
}

fn play(pipeline: Pipeline) -> Result<Ending> {
    gst::init().context("cannot start GStreamer")?;
    // What is linked comes before any other that a plugin path of the user's may hold.
    gstfactorseg::plugin_register_static().context("cannot register the element factorseg")?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(async { pipeline.run(&Stop::listen()?).await })
}
