//! One page that shows a run while it goes on.
//!
//! Only a handful of names exist; anything else is 404, so no path can lead out of the run's folder. Nothing is written.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::{Authority, Uri};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::net::TcpListener;

use crate::curves;
use crate::metrics::Metrics;

/// The page: one file, no other resources but the run's own.
const PAGE: &str = include_str!("page.html");

/// Nothing of other sites, and nothing kept.
const HEADERS: [(HeaderName, &str); 3] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; img-src 'self'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
];

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
        let routes = Router::new().fallback_service(get(answer).with_state(self.run));
        let routes = match self.address.ip().is_loopback() {
            true => routes.layer(middleware::from_fn(this_machine)),
            false => routes,
        };
        let routes = routes.layer(middleware::map_response(with_headers));
        // Serving ends only when it is told to.
        tokio::select! { _ = axum::serve(self.listener, routes) => {}, () = stop => {} }
    }
}

async fn with_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Another site's script must not reach the page through a name that it points here.
async fn this_machine(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = host.and_then(|host| host.parse::<Authority>().ok());
    let name = authority.as_ref().map_or("", Authority::host);
    let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
    match name == "localhost" || address.is_ok_and(|address| address.is_loopback()) {
        true => next.run(request).await,
        false => refusal(
            StatusCode::MISDIRECTED_REQUEST,
            "this server answers to localhost alone",
        ),
    }
}

async fn answer(State(run): State<Arc<PathBuf>>, uri: Uri) -> Response {
    let found = tokio::task::spawn_blocking(move || respond(&run, uri.path())).await;
    found.unwrap_or_else(|_| refusal(StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made"))
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
            None => return refusal(StatusCode::NOT_FOUND, "there is no such page"),
        },
    };
    match found {
        Ok((content_type, body)) => ([(header::CONTENT_TYPE, content_type)], body).into_response(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => refusal(StatusCode::NOT_FOUND, "not there yet"),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn refusal(status: StatusCode, words: &str) -> Response {
    (status, format!("{status}: {words}\n")).into_response()
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
