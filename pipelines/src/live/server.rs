//! What the page asks for, over HTTP.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result as Anyhow;
use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, uri::Authority};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use gst::prelude::*;
use gstreamer as gst;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::controls;
use super::regions::Regions;
use super::segments::{Segments, playlist_from};
use super::webrtc::WebRtc;

/// Name of the playlist in its folder; the segments' begin like it.
pub const PLAYLIST: &str = "live.m3u8";

/// How long a player waits for a new segment before it is told that there is none. They are cut at key frames, every 30 frames.
const NEXT_SEGMENT: Duration = Duration::from_secs(10);

/// The page: one file, no other resources but the video.
const PAGE: &str = include_str!("page.html");

/// Nothing of other sites, and nothing kept.
const HEADERS: [(HeaderName, &str); 3] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; connect-src 'self'; media-src 'self'; img-src data:; script-src 'unsafe-inline'; style-src 'unsafe-inline'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
];

/// What is shown.
#[derive(Debug)]
pub struct Page {
    /// The element `factorseg`.
    pub segment: gst::Element,
    /// Where the video lies.
    pub folder: TempDir,
    /// Which region was where.
    pub regions: Arc<Regions>,
    /// What the pipeline said.
    pub heard: Mutex<Heard>,
    /// Tells that a segment is finished, or the video.
    pub goes_on: Notify,
    /// What sends the video by WebRTC, or why nothing does.
    pub webrtc: Anyhow<WebRtc>,
}

/// What a pipeline said.
#[derive(Debug, Default)]
pub struct Heard {
    segments: Segments,
    warnings: usize,
    warning: String,
    ended: bool,
}

/// An answer that is none: a status and what to do instead.
type Refusal = (StatusCode, String);

impl Page {
    /// Takes note of a message of the pipeline.
    pub fn note(&self, message: &gst::Message) {
        let mut heard = self.heard();
        let goes_on = match message.view() {
            gst::MessageView::Element(element) => heard.segments.note(element),
            gst::MessageView::Warning(warning) => {
                heard.warnings += 1;
                heard.warning = warning.error().to_string();
                false
            }
            gst::MessageView::Eos(_) => {
                heard.ended = true;
                true
            }
            _ => false,
        };
        if goes_on {
            self.goes_on.notify_waiters();
        }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The routes below `/`, or below a token that nobody guesses. Without one, only browsers of this machine are answered, by
/// its own names: another site's script must not get here through a name that it points here.
pub fn router(page: Arc<Page>, token: Option<&str>) -> Router {
    let routes = Router::new()
        .route("/", get(Html(PAGE)))
        .route("/state", get(state))
        .route("/set", post(set))
        .route("/click", post(click))
        .route("/hls/{name}", get(video))
        .route("/whep", post(watch))
        .route("/whep/{session}", delete(leave))
        .with_state(page);
    let routes = match token {
        None => routes.layer(middleware::from_fn(this_machine)),
        // The slash at the end counts: the page's own names are relative.
        Some(token) => Router::new().nest(&format!("/{token}/"), routes).fallback(|| async {
            (
                StatusCode::FORBIDDEN,
                "open the whole address that factorseg-pipeline live prints\n",
            )
        }),
    };
    routes.layer(middleware::map_response(with_headers))
}

async fn with_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn this_machine(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = host.and_then(|host| host.parse::<Authority>().ok());
    let name = authority.as_ref().map_or("", Authority::host);
    let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
    match name == "localhost" || address.is_ok_and(|address| address.is_loopback()) {
        true => next.run(request).await,
        false => (
            StatusCode::MISDIRECTED_REQUEST,
            "this server answers to localhost alone\n",
        )
            .into_response(),
    }
}

/// Where the page is found: what to open, or what to open it with.
pub fn url(address: SocketAddr, token: Option<&str>) -> String {
    let token = token.map_or(String::new(), |token| format!("{token}/"));
    format!("http://{address}/{token}")
}

async fn state(State(page): State<Arc<Page>>) -> Json<Value> {
    let heard = page.heard();
    let begin = heard.segments.begin();
    Json(json!({
        "no_webrtc": page.webrtc.as_ref().err().map(ToString::to_string),
        "segment": begin.map(|(number, _)| number),
        "segment_start": begin.map(|(_, start)| start.seconds_f64()),
        "now": page.segment.current_running_time().map(gst::ClockTime::seconds_f64),
        "ended": heard.ended,
        "warnings": heard.warnings,
        "warning": heard.warning,
        "controls": controls::describe(&page.segment),
        "stats": controls::stats(&page.segment),
    }))
}

#[derive(Deserialize)]
struct Setting {
    name: String,
    value: String,
}

async fn set(State(page): State<Arc<Page>>, Json(setting): Json<Setting>) -> Result<(), Refusal> {
    controls::set(&page.segment, &setting.name, &setting.value).map_err(refuse)
}

#[derive(Deserialize)]
struct Click {
    /// Shares of the picture's width and height.
    x: f64,
    y: f64,
    /// Running time of the frame that was clicked on, in seconds; the newest where that is not known.
    time: Option<f64>,
}

/// Makes the region that was clicked on the object.
async fn click(State(page): State<Arc<Page>>, Json(click): Json<Click>) -> Result<Json<Value>, Refusal> {
    let inside = |share: f64| (0.0..=1.0).contains(&share);
    if !inside(click.x) || !inside(click.y) {
        return Err((
            StatusCode::UNPROCESSABLE_ENTITY,
            "x and y are shares of the picture, 0 to 1".to_owned(),
        ));
    }
    let time = click
        .time
        .map(|time| gst::ClockTime::from_seconds_f64(time.clamp(0.0, 1e9)));
    let region = page.regions.at(click.x, click.y, time).ok_or((
        StatusCode::CONFLICT,
        "that frame has no mask, or is too long ago; click again".to_owned(),
    ))?;
    controls::set(&page.segment, "foreground-regions", &region.to_string()).map_err(refuse)?;
    Ok(Json(json!({ "region": region })))
}

fn refuse(error: anyhow::Error) -> Refusal {
    (StatusCode::UNPROCESSABLE_ENTITY, format!("{error:#}"))
}

#[derive(Deserialize)]
struct From {
    #[serde(default)]
    from: usize,
}

/// The playlist, or a segment of the video. A playlist is answered when the next segment is finished: Chromium's player gives up
/// if it begins to play when it has read all segments, asks for more at once, and is told of none.
async fn video(
    State(page): State<Arc<Page>>,
    Path(name): Path<String>,
    from: Query<From>,
) -> Result<Response, Refusal> {
    let number = name.strip_prefix("live-").and_then(|name| name.strip_suffix(".ts"));
    let is_segment = number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    let content_type = match is_segment {
        true => "video/mp2t",
        false if name == PLAYLIST => "application/vnd.apple.mpegurl",
        false => return Err((StatusCode::NOT_FOUND, "there is no such file".to_owned())),
    };
    if !is_segment {
        let goes_on = page.goes_on.notified();
        let ended = page.heard().ended;
        if !ended {
            // Where the video stalls, the answer is the old playlist.
            let _ = tokio::time::timeout(NEXT_SEGMENT, goes_on).await;
        }
    }
    let read = tokio::fs::read(page.folder.path().join(&name)).await;
    let mut bytes = read.map_err(|_| (StatusCode::NOT_FOUND, "not there yet, or not any more".to_owned()))?;
    if !is_segment {
        bytes = playlist_from(&String::from_utf8_lossy(&bytes), from.from).into_bytes();
    }
    Ok(([(header::CONTENT_TYPE, content_type)], bytes).into_response())
}

/// Begins to send the video by WebRTC to who offers to receive it (WHEP).
async fn watch(State(page): State<Arc<Page>>, headers: HeaderMap, offer: Bytes) -> Result<Response, Refusal> {
    const SDP: &str = "application/sdp";
    // A browser sends this type to another site only if that allows it.
    if headers
        .get(header::CONTENT_TYPE)
        .is_none_or(|content_type| content_type != SDP)
    {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("an offer is {SDP}")));
    }
    let refuse = |error: &anyhow::Error| (StatusCode::NOT_FOUND, format!("no WebRTC: {error:#}"));
    let webrtc = page.webrtc.as_ref().map_err(refuse)?;
    if !webrtc.has_begun() {
        return Err((
            StatusCode::SERVICE_UNAVAILABLE,
            "there is no video yet; ask again".to_owned(),
        ));
    }
    let session = format!("{:032x}", rand::random::<u128>());
    let answer = webrtc.offer(&session, offer.to_vec()).await;
    let answer = answer.map_err(|error| (StatusCode::BAD_GATEWAY, format!("{error:#}")))?;
    let location = format!("whep/{session}");
    Ok((
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY),
        [(header::CONTENT_TYPE, SDP), (header::LOCATION, &location)],
        answer.body,
    )
        .into_response())
}

/// Ends a session of WebRTC.
async fn leave(State(page): State<Arc<Page>>, Path(session): Path<String>) {
    if let Ok(webrtc) = &page.webrtc {
        webrtc.end(&session);
    }
}

#[cfg(test)]
mod tests;
