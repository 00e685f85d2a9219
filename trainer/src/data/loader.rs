//! The input pipeline: batches are read, decoded and noised ahead of the step that needs them.
//!
//! A tokio task walks the steps; the work itself runs on blocking threads. The channel holds a few
//! batches, so that a slow disk shows up as waiting time ([`Loader::waited`]) and nothing else.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::batch::{Batch, BatchError, BatchMaker};
use super::cache::ImageCache;
use super::order::Order;

/// How far ahead the pipeline works, and with how many threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Threads that decode and noise.
    pub threads: usize,
    /// Batches that are kept ready.
    pub prefetch: usize,
}

/// Delivers the batches of consecutive steps.
#[derive(Debug)]
pub struct Loader {
    // Dropped before the runtime, so that a producer waiting for room ends.
    batches: mpsc::Receiver<Result<Batch, BatchError>>,
    waited: Duration,
    runtime: Option<Runtime>,
}

impl Loader {
    /// Starts to produce the batches of `first_step..end_step`.
    ///
    /// # Errors
    /// If the threads cannot be started.
    pub fn start(
        maker: Arc<BatchMaker>,
        images: Arc<ImageCache>,
        first_step: u64,
        end_step: u64,
        options: LoaderOptions,
    ) -> Result<Self> {
        let threads = options.threads.max(1);
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(threads)
            .thread_name("factorseg-input")
            .build()
            .context("cannot start the input threads")?;
        let (sender, batches) = mpsc::channel(options.prefetch.max(1));
        runtime.spawn(produce(maker, images, first_step, end_step, threads, sender));
        Ok(Self {
            batches,
            waited: Duration::ZERO,
            runtime: Some(runtime),
        })
    }

    /// The next batch; `None` after the last step.
    ///
    /// # Errors
    /// When more images are broken than the run accepts, or the teacher fails.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, BatchError> {
        let start = Instant::now();
        let batch = self.batches.blocking_recv().transpose();
        self.waited += start.elapsed();
        batch
    }

    /// Time spent waiting for input since the start.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.batches.close();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn produce(
    maker: Arc<BatchMaker>,
    images: Arc<ImageCache>,
    first_step: u64,
    end_step: u64,
    threads: usize,
    sender: mpsc::Sender<Result<Batch, BatchError>>,
) {
    // Orders are costly to advance to another epoch, so they are reused.
    let orders: Arc<Mutex<Vec<Order>>> = Arc::default();
    let mut running = JoinSet::new();
    let mut ready = std::collections::BTreeMap::new();
    let mut next_to_start = first_step;
    for step in first_step..end_step {
        while next_to_start < end_step && next_to_start < step + threads as u64 {
            let (maker, images, orders) = (maker.clone(), images.clone(), orders.clone());
            let at = next_to_start;
            running.spawn_blocking(move || {
                let mut order = orders
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop()
                    .unwrap_or_else(|| Order::new(maker.seed, images.len()));
                let batch = maker.make(at, &mut order, &images);
                orders.lock().unwrap_or_else(PoisonError::into_inner).push(order);
                (at, batch)
            });
            next_to_start += 1;
        }
        while !ready.contains_key(&step) {
            match running.join_next().await {
                Some(Ok((at, batch))) => {
                    ready.insert(at, batch);
                }
                // A panic in the worker: closing the channel tells the trainer.
                Some(Err(_)) | None => return,
            }
        }
        let Some(batch) = ready.remove(&step) else { return };
        if sender.send(batch).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
