//! A thread that writes while the training goes on.

use std::thread::{Builder, JoinHandle};

use anyhow::{Context, Result, anyhow};

/// Does one piece of work after the other, off the step's path. When it is dropped its work is done.
#[derive(Debug, Default)]
pub struct Writer {
    working: Option<JoinHandle<Result<()>>>,
}

impl Writer {
    /// Begins with `work`, once the work before is done.
    ///
    /// # Errors
    /// That of the work before, or if there is no thread to be had.
    pub fn start(&mut self, work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
        self.finish()?;
        let thread = Builder::new().name("factorseg-writer".to_owned()).spawn(work);
        self.working = Some(thread.context("cannot start the thread that writes")?);
        Ok(())
    }

    /// Says at once whether work that is done has failed.
    ///
    /// # Errors
    /// That of the work, once.
    pub fn check(&mut self) -> Result<()> {
        match &self.working {
            Some(thread) if thread.is_finished() => self.finish(),
            _ => Ok(()),
        }
    }

    /// Waits for the work.
    ///
    /// # Errors
    /// That of the work, once.
    pub fn finish(&mut self) -> Result<()> {
        let Some(thread) = self.working.take() else {
            return Ok(());
        };
        thread
            .join()
            .unwrap_or_else(|_| Err(anyhow!("the thread that writes has panicked")))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Something else has failed: this comes on top.
        if let Err(error) = self.finish() {
            eprintln!("error: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests;
