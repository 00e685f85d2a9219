//! `factorseg-pipeline live` as a browser meets it, without one; `scripts/browser.sh` asks a real Chromium.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use factorseg_tests::built;
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
        let (head, body) = self.ask("GET", path, "");
        (head.lines().next().unwrap().to_owned(), body)
    }

    /// Head and body of an answer. What is sent is an offer of WebRTC.
    fn ask(&self, method: &str, path: &str, body: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let (host, length) = (&self.address, body.len());
        write!(
            stream,
            "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
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
    let missing =
        "the GStreamer element `whepserversink` is missing; scripts/webrtc.sh builds it, as docs/pipelines.md says";
    assert_eq!(
        server.video,
        format!("video: by HLS, seconds late; for WebRTC: {missing}")
    );
    let (_, state) = server.get("state");
    assert!(state.contains(&format!("\"no_webrtc\":\"{missing}\"")), "{state}");
    let book = include_str!("../../docs/pipelines.md");
    assert!(book.contains("\nscripts/webrtc.sh\n"), "the way is in the book");
}

/// As a browser offers to receive H.264.
const OFFER: &str = "v=0\r\n\
    o=- 1 2 IN IP4 127.0.0.1\r\n\
    s=-\r\n\
    t=0 0\r\n\
    a=group:BUNDLE 0\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 102\r\n\
    c=IN IP4 0.0.0.0\r\n\
    a=ice-ufrag:hcVy\r\n\
    a=ice-pwd:zqRrS8vpJ1yUoCQWnK0bVdLm\r\n\
    a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n\
    a=setup:actpass\r\n\
    a=mid:0\r\n\
    a=recvonly\r\n\
    a=rtcp-mux\r\n\
    a=rtpmap:102 H264/90000\r\n\
    a=rtcp-fb:102 nack pli\r\n\
    a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n";

#[test]
fn webrtc_is_offered_to_who_has_the_token() {
    if !has_webrtc() {
        eprintln!("SKIPPED: no element whepserversink here; docs/pipelines.md says how to build it");
        return;
    }
    let server = Server::start("test", "0.0.0.0");
    assert_eq!(server.video, "video: by WebRTC, else by HLS");
    let (head, _) = server.ask("POST", "whep", OFFER);
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    let token = &server.token;
    let offer = || server.ask("POST", &format!("{token}whep"), OFFER);
    let end = Instant::now() + Duration::from_secs(60);
    let first = loop {
        let reply = offer();
        if !reply.0.starts_with("HTTP/1.1 503") {
            break reply;
        }
        assert!(Instant::now() < end, "no video");
        std::thread::sleep(Duration::from_millis(2));
    };
    // The first that is answered, and as often as somebody looks.
    for (head, answer) in std::iter::once(first).chain(std::iter::repeat_with(offer)).take(3) {
        assert!(head.starts_with("HTTP/1.1 201"), "{head}\n{answer}");
        for line in [
            "m=video ",
            "a=rtpmap:102 H264/90000",
            "a=sendonly",
            "a=candidate:",
            "a=fingerprint:",
        ] {
            assert!(answer.contains(line), "{line} is missing in {answer}");
        }
        assert_eq!(
            answer.matches("\nm=").count(),
            1,
            "as many media as were offered: {answer}"
        );
        let session = head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
        let (head, _) = server.ask("DELETE", &format!("{token}{session}"), "");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
}
