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
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn work_goes_on_beside_and_its_error_is_told_once() {
        let mut writer = Writer::default();
        let (go, wait) = channel();
        writer.start(move || Ok(wait.recv()?)).unwrap();
        // It has not been told to go on, and nobody waits for it.
        writer.check().unwrap();
        go.send(()).unwrap();
        writer.start(|| Err(anyhow!("the disk is full"))).unwrap();
        assert_eq!(writer.finish().unwrap_err().to_string(), "the disk is full");
        writer.finish().unwrap();
        writer.start(|| panic!("a test's panic")).unwrap();
        let error = writer.start(|| Ok(())).unwrap_err().to_string();
        assert!(error.contains("panicked"), "{error}");
    }

    #[test]
    fn work_is_done_before_a_writer_is_gone() {
        let (go, wait) = channel();
        let (done, seen) = channel();
        let mut writer = Writer::default();
        let work = move || {
            wait.recv()?;
            Ok(done.send(())?)
        };
        writer.start(work).unwrap();
        go.send(()).unwrap();
        drop(writer);
        seen.try_recv().unwrap();
    }
}
