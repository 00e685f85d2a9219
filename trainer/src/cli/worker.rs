//! `factorseg worker`.

use std::io::Write;
use std::net::TcpListener;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use factorseg_model::DeviceSpec;
use tokio::signal::unix::{SignalKind, signal};

use super::arguments::count;
use super::set_threads;
use crate::training::parallel::{WorkerOptions, listen};
use crate::training::run::config::MOST_THREADS;

/// Compute gradients for a trainer on another machine, until Ctrl-C.
///
/// `factorseg train --device ...,remote:HOST:PORT` sends weights and a share of each batch, and gets its gradient. One
/// trainer is served at a time; nothing is written. The connection is neither encrypted nor authenticated: listen on
/// 127.0.0.1 and reach it through `ssh -L 7878:127.0.0.1:7878 HOST`, or on an address of a network that you trust.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factorseg worker --device cuda:1
  factorseg worker --listen 10.0.0.2:7878                       (a network of trusted machines)")]
pub struct Worker {
    /// Address and port; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:7878", value_name = "ADDRESS:PORT")]
    listen: String,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceSpec,
    /// Threads of the CPU device; 0: one per core
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = count(0, MOST_THREADS))]
    threads: usize,
    /// Memory that a run may need by estimate; a larger one is refused
    #[arg(long, default_value_t = 16384, value_name = "MIB")]
    max_memory: u64,
}

impl Worker {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        set_threads(self.threads)?;
        // Better now than with the first trainer.
        self.device.resolve()?;
        let options = WorkerOptions {
            device: self.device,
            threads: self.threads,
            memory: self.max_memory.saturating_mul(1 << 20),
        };
        let listener = TcpListener::bind(&self.listen).with_context(|| format!("cannot listen on {}", self.listen))?;
        println!("remote:{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        std::thread::Builder::new()
            .name("factorseg-worker".to_owned())
            .spawn(move || listen(&listener, options))
            .context("cannot start the worker's thread")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .context("cannot start the signal thread")?;
        // A step that is being computed is not waited for.
        runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
            let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}
