//! The trainer's side of a worker on another machine.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::message::{self, Hello, Ready, Shape};
use super::replica::{Job, Replica, ReplicaError, Share};
use super::wire::{self, Kind, MAXIMUM_JSON, Timed, WireError};
use super::{Common, weights};

/// Time for a connection to come about.
const CONNECTING: Duration = Duration::from_secs(10);
/// Time for a worker to answer: its first step may compile kernels.
const PATIENCE: Duration = Duration::from_secs(600);

/// Connects to the worker at `address`.
///
/// # Errors
/// If it cannot be reached, is busy, or refuses the run.
pub fn connect(address: &str, common: Common<'_>) -> Result<Replica, ReplicaError> {
    let name = format!("worker {address}");
    let failed = |reason: String| ReplicaError {
        name: name.clone(),
        reason,
    };
    let count = weights(common.model);
    let shape = Shape::new(common.model, common.recipe, count);
    let hello = Hello::new(common.model, common.recipe, common.seed, common.precision);
    let stream = reach(address)
        .map_err(|error| failed(format!("{error}; start it there with `factorseg worker`")))
        .and_then(|stream| introduce(stream, &hello, &shape).map_err(|error| failed(error.to_string())))?;
    Replica::spawn(name.clone(), move |job| {
        exchange(&stream, &shape, &job).map_err(|error| error.to_string())
    })
    .map_err(|error| failed(error.to_string()))
}

fn reach(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECTING) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn introduce(stream: TcpStream, hello: &Hello, shape: &Shape) -> Result<TcpStream, WireError> {
    let invalid = |error: serde_json::Error| WireError::Invalid(error.to_string());
    let mut timed = Timed::new(&stream, PATIENCE);
    wire::write(&mut timed, Kind::Hello, &serde_json::to_vec(hello).map_err(invalid)?)?;
    let answer = wire::read(&mut timed, Kind::Ready, MAXIMUM_JSON)?;
    let ready: Ready = serde_json::from_slice(&answer).map_err(invalid)?;
    if ready.weights != shape.weights {
        return Err(WireError::Invalid(format!(
            "its network has {} weights, this one {}: use the same version of factorseg",
            ready.weights, shape.weights
        )));
    }
    Ok(stream)
}

fn exchange(stream: &TcpStream, shape: &Shape, job: &Job) -> Result<Share, WireError> {
    let mut timed = Timed::new(stream, PATIENCE);
    wire::write(&mut timed, Kind::Job, &message::encode_job(job)?)?;
    let answer = wire::read(&mut timed, Kind::Share, shape.longest_share())?;
    message::decode_share(&answer, shape)
}
