//! The page, asked for over HTTP.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use common::{run, serve};
use factorseg_watch::serve::Server;

fn ask_raw(address: SocketAddr, request: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    // One answer for each connection.
    let request = request.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    (
        String::from_utf8(bytes[..end].to_vec()).unwrap(),
        bytes[end + 4..].to_vec(),
    )
}

fn ask(address: SocketAddr, path: &str) -> (String, Vec<u8>) {
    ask_raw(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", address.port()),
    )
}

#[test]
fn the_run_is_shown() {
    let run = run();
    let address = serve(run.path());
    let (head, page) = ask(address, "/");
    assert!(
        head.starts_with("HTTP/1.1 200 OK") && head.contains("text/html"),
        "{head}"
    );
    let page = String::from_utf8(page).unwrap();
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "no outside resources"
    );
    let (_, status) = ask(address, "/status.json?1");
    let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
    assert_eq!(
        (&status["total_steps"], &status["train"]["loss"]),
        (&42.into(), &0.5.into())
    );
    assert_eq!(status["samples"], serde_json::json!(["step-000000020.png"]));
    assert_eq!(ask(address, "/samples/step-000000020.png").1, b"a picture");
    let (head, svg) = ask(address, "/curves.svg");
    assert!(head.contains("image/svg+xml") && String::from_utf8(svg).unwrap().contains(">loss</text>"));
    assert!(ask(address, "/config.json").0.contains("application/json"));
    assert!(ask(address, "/metrics.jsonl").0.starts_with("HTTP/1.1 200"));
    let (head, body) = ask_raw(address, "HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(
        head.contains(&format!("content-length: {}", page.len())) && body.is_empty(),
        "{head}"
    );
}

#[test]
fn nothing_else_can_be_reached() {
    let run = run();
    std::fs::write(run.path().parent().unwrap().join("outside.txt"), b"private").unwrap();
    let address = serve(run.path());
    for path in [
        "/../outside.txt",
        "/samples/../config.json",
        "/samples/%2e%2e/config.json",
        "/samples/notes.txt",
        "/samples/step-1.png/../../config.json",
        "/samples/step-../../config.png",
        "/run.lock",
        "//etc/passwd",
        "/samples/",
        "/model.safetensors",
    ] {
        let (head, body) = ask(address, path);
        assert!(head.starts_with("HTTP/1.1 404"), "{path}: {head}");
        assert!(!String::from_utf8_lossy(&body).contains("private"), "{path}");
    }
    assert!(
        ask(address, "/samples/step-000000099.png")
            .0
            .starts_with("HTTP/1.1 404")
    );
    assert!(
        ask_raw(address, "POST / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .0
            .starts_with("HTTP/1.1 405")
    );
    assert!(
        ask_raw(address, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
            .0
            .starts_with("HTTP/1.1 421")
    );
    assert!(ask_raw(address, "GET / HTTP/1.1\r\n\r\n").0.starts_with("HTTP/1.1 421"));
    assert!(ask_raw(address, "nonsense\r\n\r\n").0.starts_with("HTTP/1.1 400"));
    let (head, _) = ask(address, &format!("/{}", "a".repeat(70_000)));
    assert!(head.starts_with("HTTP/1.1 414"), "{head}");
    std::fs::remove_file(run.path().parent().unwrap().join("outside.txt")).unwrap();
}

#[test]
fn what_cannot_be_served_is_named() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bind = |path: &Path, address: &str| runtime.block_on(Server::bind(path, address.parse().unwrap()));
    let error = bind(folder.path(), "127.0.0.1:0").unwrap_err().to_string();
    assert!(error.contains("holds no run"), "{error}");
    let run = run();
    let taken = bind(run.path(), "127.0.0.1:0").unwrap();
    let error = bind(run.path(), &taken.address().to_string()).unwrap_err().to_string();
    assert!(error.contains("--port"), "{error}");
}
