//! Ctrl-C, SIGTERM and SIGUSR1 (which launchers and batch systems send before the end of a job): the first asks for a save after the step, or ends at once where there is nothing to save; the second
//! ends at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

/// Exit code of an interrupted run.
pub const INTERRUPTED: u8 = 130;

/// How the first signal is answered.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// These words, and the end: nothing is lost by it.
    End(&'static str),
    /// These words; whoever works looks at [`Signals::asked`] and comes to an end.
    Ask(&'static str),
}

impl Answer {
    /// That of a run that saves its state.
    pub const SAVE: Self = Self::Ask("interrupted: finishing the step and saving; once more ends at once");
}

/// Listens for signals for as long as it lives.
#[derive(Debug)]
pub struct Signals {
    asked: Arc<AtomicBool>,
    answer: Arc<Mutex<Answer>>,
    _runtime: Runtime,
}

impl Signals {
    /// Starts to listen; `answer` is what the first signal gets, until [`Self::answer`] says otherwise.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn listen(answer: Answer) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("factorseg-signals")
            .enable_io()
            .build()
            .context("cannot start the signal thread")?;
        let asked = Arc::new(AtomicBool::new(false));
        let (mut interrupt, mut terminate, mut warning) = {
            let _inside = runtime.enter();
            let listen = |kind| signal(kind).context("cannot listen for signals");
            (
                listen(SignalKind::interrupt())?,
                listen(SignalKind::terminate())?,
                listen(SignalKind::user_defined1())?,
            )
        };
        let answer = Arc::new(Mutex::new(answer));
        let (flag, first) = (asked.clone(), answer.clone());
        runtime.spawn(async move {
            loop {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {}, _ = warning.recv() => {} }
                if flag.swap(true, Ordering::SeqCst) {
                    eprintln!("interrupted again: ending without saving");
                    std::process::exit(i32::from(INTERRUPTED));
                }
                // Held until the end, so that no work begins that should be saved.
                let answer = first.lock().unwrap_or_else(PoisonError::into_inner);
                match *answer {
                    Answer::Ask(words) => eprintln!("{words}"),
                    Answer::End(words) => {
                        eprintln!("{words}");
                        std::process::exit(i32::from(INTERRUPTED));
                    }
                }
            }
        });
        Ok(Self {
            asked,
            answer,
            _runtime: runtime,
        })
    }

    /// From now on the first signal is answered so.
    pub fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
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
