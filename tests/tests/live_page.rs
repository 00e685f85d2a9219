//! `factorseg-pipeline live` as a browser meets it, without one; `scripts/browser.sh` asks a real Chromium.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use factorseg_tests::built;

struct Server {
    program: Child,
    address: String,
    /// Between address and path.
    token: String,
}

impl Server {
    /// With a small test picture, on a free port of `address`.
    fn start(address: &str) -> Self {
        let mut program = Command::new(built("factorseg-pipeline"))
            .args(["live", "--in", "test", "--size", "160x90", "--frame-rate", "12"])
            .args(["--listen", &format!("{address}:0")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(program.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let url = line.trim().strip_prefix("page: http://").unwrap();
        let (address, token) = url.split_once('/').unwrap();
        Self {
            program,
            address: address.to_owned(),
            token: token.to_owned(),
        }
    }

    /// Status line and body of an answer.
    fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let host = &self.address;
        write!(
            stream,
            "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is over already where all went well.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

#[test]
fn the_video_comes_in_segments_and_an_interruption_ends_it() {
    let mut server = Server::start("127.0.0.1");
    assert_eq!(server.token, "");
    let end = Instant::now() + Duration::from_secs(60);
    let segment = loop {
        let (status, state) = server.get("state");
        assert_eq!(status, "HTTP/1.1 200 OK", "{state}");
        let number = state.split_once("\"segment\":").unwrap().1;
        match number.split(',').next().unwrap().parse::<usize>() {
            Ok(number) => break number,
            Err(_) => assert!(Instant::now() < end, "{state}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let (status, playlist) = server.get(&format!("hls/live.m3u8?from={segment}"));
    assert_eq!(status, "HTTP/1.1 200 OK", "{playlist}");
    let name = playlist.lines().find(|line| line.ends_with(".ts")).unwrap();
    assert_eq!(name, format!("live-{segment:05}.ts"), "{playlist}");
    let (status, video) = server.get(&format!("hls/{name}"));
    assert_eq!(
        (status.as_str(), video.as_bytes()[0]),
        ("HTTP/1.1 200 OK", b'G'),
        "a transport stream"
    );

    let interrupt = Command::new("kill")
        .args(["-INT", &server.program.id().to_string()])
        .status();
    assert!(interrupt.unwrap().success());
    assert_eq!(server.program.wait().unwrap().code(), Some(0));
}

#[test]
fn beyond_this_machine_a_token_is_needed() {
    let server = Server::start("0.0.0.0");
    let token = server.token.trim_end_matches('/');
    assert_eq!(token.len(), 32, "{token}");
    assert_eq!(server.get("").0, "HTTP/1.1 403 Forbidden");
    assert_eq!(server.get("state").0, "HTTP/1.1 403 Forbidden");
    let (status, page) = server.get(&server.token);
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(page.contains("<title>factorseg live</title>"), "{page}");
}
