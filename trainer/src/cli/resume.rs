//! `factorseg resume`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use factorseg_model::{DeviceSpec, Precision};

use super::arguments::{PRECISIONS, count, threads, word};
use super::{exit_code, set_threads};
use crate::training::parallel::Ranks;
use crate::training::run;
use crate::training::run::config::{MOST_CACHE_MIB, MOST_PREFETCH, MOST_THREADS, RunOptions, StoredPrecision};
use crate::training::run::directory::RunDirectory;
use crate::training::run::signals::{Answer, Signals};

/// Go on with a run from its newest checkpoint.
///
/// On the same devices, and as many, the run continues bit for bit as if it had never stopped. What is given here is what it goes on with
/// from now on; nothing of it changes what is computed, but for rounding on other devices or in another precision.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factorseg resume runs/photos
  factorseg resume runs/photos --device cuda:1
  mpirun -n 4 --bind-to none factorseg resume runs/photos             (on any number of processes)
  factorseg resume runs/photos --data /mnt/photos --max-broken 500     (the pictures have moved)")]
pub struct Resume {
    /// Folder of the run
    run: PathBuf,
    /// Where the run's data is now; its fingerprint must be the same
    #[arg(long, value_name = "DATA")]
    data: Option<String>,
    #[command(flatten)]
    changes: Changes,
    /// Print the metrics as JSON lines on standard output
    #[arg(long)]
    json: bool,
}

/// Other options than those that the run has.
#[derive(Debug, Args)]
struct Changes {
    /// Another device: auto, cpu, cuda or cuda:N
    #[arg(long)]
    device: Option<DeviceSpec>,
    /// Another precision; bf16 on CUDA, and on processors with AVX512-BF16
    #[arg(long, value_parser = word::<Precision>(PRECISIONS))]
    precision: Option<Precision>,
    /// Another number of CPU threads; 0: one per core
    #[arg(long, value_name = "N", value_parser = count(0, MOST_THREADS))]
    threads: Option<usize>,
    /// Another number of threads that read, decode and noise images; 0: one per core
    #[arg(long, value_name = "N", value_parser = count(0, MOST_THREADS))]
    input_threads: Option<usize>,
    /// Another number of batches kept ready
    #[arg(long, value_name = "N", value_parser = count(0, MOST_PREFETCH))]
    prefetch: Option<usize>,
    /// Other memory for decoded images
    #[arg(long, value_name = "MIB", value_parser = count(0, MOST_CACHE_MIB))]
    cache_mib: Option<usize>,
    /// Another number of broken images that are skipped before it is an error
    #[arg(long, value_name = "N")]
    max_broken: Option<usize>,
    /// Other steps between lines of the log
    #[arg(long, value_name = "STEPS")]
    log_every: Option<u64>,
    /// Other steps between pictures of held-out images; 0: none
    #[arg(long, value_name = "STEPS")]
    sample_every: Option<u64>,
    /// Other steps between checkpoints
    #[arg(long, value_name = "STEPS")]
    save_every: Option<u64>,
    /// Another number of newest checkpoints kept
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
}

impl Changes {
    fn apply(self, options: &mut RunOptions) {
        fn set<T>(field: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *field = value;
            }
        }
        set(&mut options.device, self.device.map(|device| device.to_string()));
        set(&mut options.precision, self.precision.map(StoredPrecision));
        set(&mut options.threads, self.threads);
        set(&mut options.input_threads, self.input_threads.map(threads));
        set(&mut options.prefetch, self.prefetch);
        set(&mut options.cache_mib, self.cache_mib);
        set(&mut options.max_broken, self.max_broken);
        set(&mut options.log_every, self.log_every);
        set(&mut options.sample_every, self.sample_every);
        set(&mut options.save_every, self.save_every);
        set(&mut options.keep, self.keep);
    }
}

impl Resume {
    /// Runs the command.
    pub fn run(self, ranks: &Ranks) -> Result<ExitCode> {
        let signals = Signals::listen(Answer::End("interrupted before the first step: the run is as it was"))?;
        let (directory, mut config) = RunDirectory::open(&self.run, ranks.lead())?;
        self.changes.apply(&mut config.options);
        set_threads(ranks.threads(config.options.threads))?;
        let data = self.data.as_deref();
        run::resume(&self.run, directory, config, data, &signals, self.json, ranks).map(exit_code)
    }
}
