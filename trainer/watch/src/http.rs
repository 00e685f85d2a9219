//! As much of HTTP/1.1 as a page that is only read takes: GET and HEAD, one answer for each connection.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest request that is read.
const MAXIMUM_REQUEST: usize = 8 << 10;
const MAXIMUM_HEADERS: usize = 64;
/// Time for a request to come, and for an answer to go.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a browser asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    /// Name that the server was reached by, without the port.
    pub(crate) host: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn error(status: &'static str, words: &str) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: format!("{status}: {words}\n").into_bytes(),
        }
    }
}

/// Reads a request; `None` if what comes is none.
pub(crate) async fn read(stream: &TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let reading = async {
        while bytes.len() <= MAXIMUM_REQUEST {
            stream.readable().await.ok()?;
            let mut block = [0; 2048];
            match stream.try_read(&mut block) {
                Ok(0) => return None,
                Ok(count) => bytes.extend(&block[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
            if let Some(request) = parse(&bytes)? {
                return Some(request);
            }
        }
        None
    };
    timeout(PATIENCE, reading).await.ok()?
}

/// A request, once all of it is there; `None` if it becomes none.
fn parse(bytes: &[u8]) -> Option<Option<Request>> {
    let mut headers = [httparse::EMPTY_HEADER; MAXIMUM_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    if request.parse(bytes).ok()?.is_partial() {
        return Some(None);
    }
    let mut headers = request.headers.iter();
    let host = headers.find(|header| header.name.eq_ignore_ascii_case("host"));
    Some(Some(Request {
        method: request.method?.to_owned(),
        path: request.path?.split(['?', '#']).next()?.to_owned(),
        host: host.and_then(|host| Some(without_port(str::from_utf8(host.value).ok()?).to_owned())),
    }))
}

fn without_port(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    }
}

/// Sends an answer; without its body for HEAD.
pub(crate) async fn write(stream: &TcpStream, response: &Response, head_only: bool) {
    let mut bytes = format!(
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\nCache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\n\
         Content-Security-Policy: default-src 'none'; img-src 'self'; connect-src 'self'; script-src 'unsafe-inline'; \
         style-src 'unsafe-inline'\r\n\r\n",
        response.status,
        response.content_type,
        response.body.len()
    )
    .into_bytes();
    if !head_only {
        bytes.extend(&response.body);
    }
    let writing = async {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            if stream.writable().await.is_err() {
                return;
            }
            match stream.try_write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    // A browser that went away is no error.
    let _ = timeout(PATIENCE, writing).await;
}

#[cfg(test)]
mod tests;
