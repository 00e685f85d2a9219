//! Ctrl-C and SIGTERM: the first asks for a save after the step, the second ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

/// Exit code of an interrupted run.
pub const INTERRUPTED: u8 = 130;

/// Listens for signals for as long as it lives.
#[derive(Debug)]
pub struct Signals {
    asked: Arc<AtomicBool>,
    _runtime: Runtime,
}

impl Signals {
    /// Starts to listen, for a run that saves its state.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn listen() -> Result<Self> {
        Self::listen_saying("interrupted: finishing the step and saving; once more ends at once")
    }

    /// Starts to listen; `words` are what the first signal is answered with.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn listen_saying(words: &'static str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("factorseg-signals")
            .enable_io()
            .build()
            .context("cannot start the signal thread")?;
        let asked = Arc::new(AtomicBool::new(false));
        let (mut interrupt, mut terminate) = {
            let _inside = runtime.enter();
            let listen = |kind| signal(kind).context("cannot listen for signals");
            (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?)
        };
        let flag = asked.clone();
        runtime.spawn(async move {
            loop {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
                if flag.swap(true, Ordering::SeqCst) {
                    eprintln!("interrupted again: ending without saving");
                    std::process::exit(i32::from(INTERRUPTED));
                }
                eprintln!("{words}");
            }
        });
        Ok(Self {
            asked,
            _runtime: runtime,
        })
    }

    /// What is set when someone asks to stop.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.asked.clone()
    }

    /// Whether to stop.
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }
}
