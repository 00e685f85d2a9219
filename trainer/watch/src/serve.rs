//! One page that shows a run while it goes on.
//!
//! Only a handful of names exist; anything else is 404, so no path can lead out of the run's folder. Nothing is written.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};

use crate::curves;
use crate::http::{self, Request, Response};
use crate::metrics::Metrics;

/// The page: one file, no other resources but the run's own.
const PAGE: &str = include_str!("page.html");

/// Why a run cannot be shown.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The folder holds no run.
    #[error("{0} holds no run (no config.json); give the folder that `factorseg train --run` made")]
    NoRun(PathBuf),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another --port, or 0 for any that is free")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A page that is ready to be served.
#[derive(Debug)]
pub struct Server {
    run: Arc<PathBuf>,
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Listens on `address` for those who want to see the run in `run`.
    ///
    /// # Errors
    /// If there is no run, or the address cannot be used.
    pub async fn bind(run: &Path, address: SocketAddr) -> Result<Self, ServeError> {
        if !run.join("config.json").is_file() {
            return Err(ServeError::NoRun(run.to_owned()));
        }
        let failed = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            run: Arc::new(run.to_owned()),
            listener,
            address,
        })
    }

    /// The address, with the port that was found free.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is done.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        let loopback = self.address.ip().is_loopback();
        loop {
            tokio::select! {
                () = &mut stop => return,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        tokio::spawn(answer(stream, self.run.clone(), loopback));
                    }
                    // Out of file descriptors, most likely: others close theirs.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
            }
        }
    }
}

async fn answer(stream: TcpStream, run: Arc<PathBuf>, loopback: bool) {
    let Some(request) = http::read(&stream).await else {
        let answer = Response::error("400 Bad Request", "that is no request");
        return http::write(&stream, &answer, false).await;
    };
    let head_only = request.method == "HEAD";
    let response = if !head_only && request.method != "GET" {
        Response::error("405 Method Not Allowed", "the page is only read")
    } else if loopback && !is_this_machine(&request) {
        // Another site's script must not reach the page through a name that it points here.
        Response::error("421 Misdirected Request", "this server answers to localhost alone")
    } else {
        let found = tokio::task::spawn_blocking(move || respond(&run, &request.path)).await;
        found.unwrap_or_else(|_| Response::error("500 Internal Server Error", "the page could not be made"))
    };
    http::write(&stream, &response, head_only).await;
}

fn is_this_machine(request: &Request) -> bool {
    request.host.as_deref().is_some_and(|host| {
        host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    })
}

fn respond(run: &Path, path: &str) -> Response {
    let found = match path {
        "/" => Ok(("text/html; charset=utf-8", PAGE.as_bytes().to_vec())),
        "/status.json" => status(run).map(|value| ("application/json", value.to_string().into_bytes())),
        "/curves.svg" => Metrics::read(&run.join("metrics.jsonl"))
            .map(|metrics| ("image/svg+xml", curves::svg(&metrics).into_bytes())),
        "/config.json" => std::fs::read(run.join("config.json")).map(|bytes| ("application/json", bytes)),
        "/metrics.jsonl" => std::fs::read(run.join("metrics.jsonl")).map(|bytes| ("text/plain; charset=utf-8", bytes)),
        _ => match path.strip_prefix("/samples/").filter(|name| is_sample(name)) {
            Some(name) => std::fs::read(run.join("samples").join(name)).map(|bytes| ("image/png", bytes)),
            None => return Response::error("404 Not Found", "there is no such page"),
        },
    };
    match found {
        Ok((content_type, body)) => Response {
            status: "200 OK",
            content_type,
            body,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Response::error("404 Not Found", "not there yet"),
        Err(error) => Response::error("500 Internal Server Error", &error.to_string()),
    }
}

/// Whether a name is a sample's: `step-`, digits, `.png`.
fn is_sample(name: &str) -> bool {
    name.strip_prefix("step-")
        .and_then(|name| name.strip_suffix(".png"))
        .is_some_and(|digits| {
            !digits.is_empty() && digits.len() <= 20 && digits.bytes().all(|byte| byte.is_ascii_digit())
        })
}

fn status(run: &Path) -> io::Result<Value> {
    let metrics = Metrics::read(&run.join("metrics.jsonl"))?;
    let config: Value = serde_json::from_slice(&std::fs::read(run.join("config.json"))?).unwrap_or_default();
    let phases = config["recipe"]["phases"].as_array();
    let total: u64 = phases
        .into_iter()
        .flatten()
        .filter_map(|phase| phase["steps"].as_u64())
        .sum();
    let mut samples: Vec<String> = std::fs::read_dir(run.join("samples"))
        .map(|entries| {
            let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            names.filter(|name| is_sample(name)).collect()
        })
        .unwrap_or_default();
    samples.sort();
    let modified = std::fs::metadata(run.join("metrics.jsonl")).and_then(|metadata| metadata.modified());
    let quiet = modified
        .ok()
        .and_then(|time| time.elapsed().ok())
        .map(|time| time.as_secs());
    Ok(json!({
        "run": run.file_name().map(|name| name.to_string_lossy()),
        "total_steps": total,
        "seconds_since_last_line": quiet,
        "train": metrics.last.get("train"),
        "held_out": metrics.last.get("held-out"),
        "checkpoint": metrics.last.get("checkpoint"),
        "samples": samples,
    }))
}
