//! `factorseg-pipeline live` as a browser meets it, without one; `scripts/browser.sh` asks a real Chromium.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use factorseg_tests::built;
use gst::prelude::*;
use gstreamer as gst;

struct Server {
    program: Child,
    /// How the video comes, in the program's words.
    video: String,
    address: String,
    /// Between address and path.
    token: String,
}

impl Server {
    /// On a free port of `address`.
    fn start(source: &str, address: &str) -> Self {
        let mut program = Command::new(built("factorseg-pipeline"))
            .args(["live", "--in", source, "--size", "160x90", "--frame-rate", "12"])
            .args(["--listen", &format!("{address}:0")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(program.stdout.take().unwrap()).lines();
        let (page, video) = (said.next().unwrap().unwrap(), said.next().unwrap().unwrap());
        let url = page.strip_prefix("page: http://").unwrap();
        let (address, token) = url.split_once('/').unwrap();
        Self {
            program,
            video,
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
    // A small test picture, and a film with sound.
    for source in ["test", "clip"] {
        plays(&mut Server::start(source, "127.0.0.1"));
    }
}

fn plays(server: &mut Server) {
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
    let server = Server::start("test", "0.0.0.0");
    let token = server.token.trim_end_matches('/');
    assert_eq!(token.len(), 32, "{token}");
    assert_eq!(server.get("").0, "HTTP/1.1 403 Forbidden");
    assert_eq!(server.get("state").0, "HTTP/1.1 403 Forbidden");
    let (status, page) = server.get(&server.token);
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(page.contains("<title>factorseg live</title>"), "{page}");
}

/// Whether GStreamer has the element that sends WebRTC here; Debian 12 has not.
fn has_webrtc() -> bool {
    gst::init().unwrap();
    gst::ElementFactory::find("whepserversink").is_some()
}

#[test]
fn without_webrtc_the_page_says_what_is_missing_and_how_to_get_it() {
    if has_webrtc() {
        eprintln!("SKIPPED: the element whepserversink is installed here");
        return;
    }
    let server = Server::start("test", "127.0.0.1");
    let missing = "the GStreamer element `whepserversink` is missing; build gst-plugin-webrtc 0.15 or newer as docs/pipelines.md says";
    assert_eq!(
        server.video,
        format!("video: by HLS, seconds late; for WebRTC: {missing}")
    );
    let (_, state) = server.get("state");
    assert!(state.contains(&format!("\"no_webrtc\":\"{missing}\"")), "{state}");
    let book = include_str!("../../docs/pipelines.md");
    assert!(
        book.contains("gst-plugin-webrtc --version 0.15"),
        "the way is in the book"
    );
}

#[test]
fn webrtc_sends_the_video_to_who_asks_with_the_token() {
    if !has_webrtc() {
        eprintln!("SKIPPED: no element whepserversink here; docs/pipelines.md says how to build it");
        return;
    }
    let server = Server::start("test", "0.0.0.0");
    assert_eq!(server.video, "video: by WebRTC, else by HLS");
    let watch = |token: &str| {
        let pipeline = gst::parse::launch(&format!(
            "whepclientsrc stun-server=NULL signaller::whep-endpoint=http://{}/{token}whep ! videoconvert \
             ! video/x-raw,format=GRAY8,width=160,height=90 ! fakesink name=sink num-buffers=24",
            server.address
        ));
        let pipeline = pipeline.unwrap().downcast::<gst::Pipeline>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let ends = [gst::MessageType::Eos, gst::MessageType::Error];
        let bus = pipeline.bus().unwrap();
        let end = bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &ends);
        pipeline.set_state(gst::State::Null).unwrap();
        end.expect("frames, or an error").type_()
    };
    assert_eq!(watch(&server.token), gst::MessageType::Eos, "two seconds of video");
    assert_eq!(watch(""), gst::MessageType::Error, "without the token");
    assert_eq!(watch(&server.token), gst::MessageType::Eos, "again");
}
