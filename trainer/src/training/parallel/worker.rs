//! `factorseg worker`: computes gradients for a trainer on another machine, one trainer at a time.

use std::any::Any;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use factorseg_model::DeviceSpec;

use super::message::{self, Hello, Ready, Shape};
use super::wire::{self, Kind, MAXIMUM_JSON, Timed, WireError};
use super::{Common, replica_learner, weights};

/// Time for a trainer to introduce itself.
const INTRODUCTION: Duration = Duration::from_secs(10);
/// Time for the trainer before to leave.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time for a trainer that is refused to close its side.
const PARTING: Duration = Duration::from_secs(1);
/// Time between two jobs, after which a trainer is taken for dead.
const IDLE: Duration = Duration::from_secs(3600);
/// Time for an answer to go.
const SENDING: Duration = Duration::from_secs(600);

/// What a worker offers.
#[derive(Debug, Clone, Copy)]
pub struct WorkerOptions {
    /// Where it computes.
    pub device: DeviceSpec,
    /// Threads of the CPU device; 0: one per core.
    pub threads: usize,
    /// Memory in bytes that a run may need by estimate.
    pub memory: u64,
}

/// Serves trainers for ever. One that comes while another is served is refused.
pub fn listen(listener: &TcpListener, options: WorkerOptions) -> ! {
    let free = Arc::new(Mutex::new(()));
    loop {
        let (stream, address) = match listener.accept() {
            Ok(accepted) => accepted,
            // Out of sockets, say: that passes.
            Err(error) => {
                eprintln!("cannot accept a connection: {error}");
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        let free = free.clone();
        let serve = move || match reserved(&free) {
            None => refuse(&stream, "it works for another trainer"),
            Some(place) => {
                eprintln!("{address}: connected");
                // A panic ends the session, not the worker.
                let ended = catch_unwind(AssertUnwindSafe(|| session(&stream, options)))
                    .unwrap_or_else(|panic| Err(anyhow!("the step failed: {}", words(panic.as_ref()))));
                // Whoever reads a refusal may come again at once.
                drop(place);
                match ended {
                    Err(error) if !matches!(error.downcast_ref(), Some(WireError::Closed)) => {
                        eprintln!("{address}: {error:#}");
                        refuse(&stream, &format!("{error:#}"));
                    }
                    _ => eprintln!("{address}: gone"),
                }
            }
        };
        let session = thread::Builder::new().name("factorseg-session".to_owned());
        if let Err(error) = session.spawn(serve) {
            eprintln!("{address}: cannot start a thread: {error}");
        }
    }
}

/// The worker's only place, or none where another trainer still has it after a while: one that was killed leaves only when
/// the worker has computed its last share.
fn reserved(free: &Mutex<()>) -> Option<MutexGuard<'_, ()>> {
    let asked = Instant::now();
    loop {
        match free.try_lock() {
            Ok(guard) => return Some(guard),
            // It guards no value that a panic could have left half changed.
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if asked.elapsed() > PATIENCE => return None,
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Says why it does not go on. Whoever does not listen is gone.
fn refuse(stream: &TcpStream, reason: &str) {
    let said = wire::write(&mut Timed::new(stream, INTRODUCTION), Kind::Refusal, reason.as_bytes());
    if said.is_ok() && stream.shutdown(Shutdown::Write).is_ok() {
        // Closing takes back an answer while there are bytes unread: they are, until the other side has closed.
        let _ = io::copy(&mut Timed::new(stream, PARTING), &mut io::sink());
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given")
}

fn session(stream: &TcpStream, options: WorkerOptions) -> Result<()> {
    stream.set_nodelay(true)?;
    let hello = wire::read(&mut Timed::new(stream, INTRODUCTION), Kind::Hello, MAXIMUM_JSON)?;
    let hello = Hello::decode(&hello)?;
    let count = weights(&hello.model);
    let shape = Shape::new(&hello.model, &hello.recipe, count);
    let needed = estimated_memory(&hello, count);
    ensure!(
        needed <= options.memory,
        "the run needs about {} MiB by estimate, the worker gives {} (--max-memory)",
        needed >> 20,
        options.memory >> 20
    );
    let device = options.device.resolve()?.to_string();
    let common = Common {
        model: &hello.model,
        recipe: &hello.recipe,
        seed: hello.seed,
        precision: hello.precision.0,
    };
    let mut learner = replica_learner(options.device, common, options.threads)?;
    let ready = serde_json::to_vec(&Ready { weights: count, device })?;
    wire::write(&mut Timed::new(stream, SENDING), Kind::Ready, &ready)?;
    loop {
        let bytes = wire::read(&mut Timed::new(stream, IDLE), Kind::Job, shape.longest_job())?;
        let job = message::decode_job(&bytes, &shape)?;
        drop(bytes);
        let share = job.run(&mut learner, &hello.recipe)?;
        wire::write(
            &mut Timed::new(stream, SENDING),
            Kind::Share,
            &message::encode_share(&share)?,
        )?;
    }
}

/// Bytes that a run needs, coarsely and rather too many: weights, gradients and moments, a batch, and 64 feature maps of the
/// finest level for each image and region of a micro-batch.
fn estimated_memory(hello: &Hello, weights: usize) -> u64 {
    let (model, recipe) = (&hello.model, &hello.recipe);
    let pixels = (model.image_size as u128).pow(2);
    let images = recipe.micro_batch.unwrap_or(recipe.batch_size) as u128;
    let features = images * model.regions as u128 * pixels * model.base_channels as u128 * 64;
    let values = 8 * weights as u128 + features + recipe.batch_size as u128 * 6 * pixels;
    u64::try_from(4 * values).unwrap_or(u64::MAX)
}
