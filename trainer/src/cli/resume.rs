//! `factorseg resume`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use factorseg_model::Precision;

use super::{exit_code, set_threads};
use crate::training::parallel::DeviceList;
use crate::training::run;
use crate::training::run::directory::{RunDirectory, StoredPrecision};

/// Go on with a run from its newest checkpoint.
///
/// On the same devices the run continues bit for bit as if it had never stopped.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factorseg resume runs/photos
  factorseg resume runs/photos --device cuda:1")]
pub struct Resume {
    /// Folder of the run
    run: PathBuf,
    /// Another device or other devices: auto, cpu, cuda, cuda:N or remote:HOST:PORT
    #[arg(long, value_name = "DEVICE,..")]
    device: Option<DeviceList>,
    /// Another precision: f32, or bf16 on CUDA
    #[arg(long)]
    precision: Option<Precision>,
    /// Another number of CPU threads; 0: one per core
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print the metrics as JSON lines on standard output
    #[arg(long)]
    json: bool,
}

impl Resume {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        let threads = match self.threads {
            Some(threads) => threads,
            None => RunDirectory::open(&self.run)?.1.options.threads,
        };
        set_threads(threads)?;
        run::resume(&self.run, self.json, |config| {
            config.options.threads = threads;
            if let Some(precision) = self.precision {
                config.options.precision = StoredPrecision(precision);
            }
            if let Some(device) = self.device {
                config.options.device = device.to_string();
            }
        })
        .map(exit_code)
    }
}
