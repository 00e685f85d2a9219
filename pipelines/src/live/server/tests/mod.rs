use axum::body::{Body, to_bytes};
use axum::http::Method;
use tower::ServiceExt;

use super::*;

fn page() -> Arc<Page> {
    gst::init().unwrap();
    gstfactorseg::plugin_register_static().unwrap();
    Arc::new(Page {
        segment: gst::ElementFactory::make("factorseg").build().unwrap(),
        folder: TempDir::new().unwrap(),
        regions: Arc::default(),
        heard: Mutex::default(),
        goes_on: Notify::new(),
        webrtc: Err(anyhow::anyhow!(
            "the GStreamer element `whepserversink` is missing; build it"
        )),
    })
}

/// Status and text of an answer. What has a body is posted as JSON.
async fn ask_by(host: &str, router: &Router, path: &str, body: Option<Value>) -> (u16, String) {
    let request = Request::builder()
        .uri(path)
        .header("host", host)
        .method(if body.is_some() { Method::POST } else { Method::GET })
        .header("content-type", "application/json")
        .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())));
    let answer = router.clone().oneshot(request.unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

async fn ask(router: &Router, path: &str, body: Option<Value>) -> (u16, String) {
    ask_by("localhost:8080", router, path, body).await
}

async fn state(router: &Router) -> Value {
    serde_json::from_str(&ask(router, "/state", None).await.1).unwrap()
}

fn value<'a>(state: &'a Value, control: &str) -> &'a Value {
    let controls = state["controls"].as_array().unwrap();
    &controls.iter().find(|about| about["name"] == control).unwrap()["value"]
}

#[tokio::test]
async fn controls_change_the_element() {
    let page = page();
    let router = router(page.clone(), None);
    let before = state(&router).await;
    assert_eq!(value(&before, "overlay"), "tint");
    assert_eq!(value(&before, "alpha"), 0.5);
    for (name, value) in [
        ("overlay", "contour"),
        ("alpha", "0.25"),
        ("motion-model", "false"),
        ("foreground-regions", "1"),
        ("target-class", "tabby cat"),
    ] {
        let (status, text) = ask(&router, "/set", Some(json!({ "name": name, "value": value }))).await;
        assert_eq!((status, text.as_str()), (200, ""), "{name}");
    }
    let after = state(&router).await;
    assert_eq!(value(&after, "overlay"), "contour");
    assert_eq!(value(&after, "motion-model"), false);
    assert_eq!(page.segment.property::<f64>("alpha"), 0.25);
    assert_eq!(page.segment.property::<String>("foreground-regions"), "1");
    assert_eq!(page.segment.property::<String>("target-class"), "tabby cat");
}

#[tokio::test]
async fn bad_values_are_refused_and_say_why() {
    let page = page();
    let router = router(page.clone(), None);
    for (body, status, words) in [
        (
            json!({ "name": "overlay", "value": "glitter" }),
            422,
            "`glitter` is no value for the property `overlay`",
        ),
        (json!({ "name": "alpha", "value": "much" }), 422, "`much` is no value"),
        (json!({ "name": "alpha", "value": "1.5" }), 422, "`1.5` is out of range"),
        (
            json!({ "name": "model", "value": "/etc/passwd" }),
            422,
            "there is no control `model`; there are overlay, alpha",
        ),
        (json!({ "name": "overlay" }), 422, "missing field `value`"),
    ] {
        let (answered, text) = ask(&router, "/set", Some(body.clone())).await;
        assert_eq!(answered, status, "{body}: {text}");
        assert!(text.contains(words), "{body}: {text}");
    }
    assert_eq!(page.segment.property::<f64>("alpha"), 0.5);
    // A form of another site's page is not JSON.
    let form = Request::post("/set")
        .header("host", "localhost")
        .body(Body::from("name=alpha"));
    let answer = router.clone().oneshot(form.unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_click_makes_the_region_there_the_object() {
    let page = page();
    let router = router(page.clone(), None);
    let click =
        |x: f64, y: f64, time: Option<f64>| ask(&router, "/click", Some(json!({ "x": x, "y": y, "time": time })));
    let (status, text) = click(0.5, 0.5, None).await;
    assert_eq!(status, 409, "{text}");
    page.regions.push(gst::ClockTime::from_seconds(1), vec![1, 2], 2);
    page.regions.push(gst::ClockTime::from_seconds(2), vec![2, 1], 2);
    assert_eq!(click(0.9, 0.5, Some(1.5)).await, (200, r#"{"region":2}"#.to_owned()));
    assert_eq!(page.segment.property::<String>("foreground-regions"), "2");
    assert_eq!(click(0.9, 0.5, None).await, (200, r#"{"region":1}"#.to_owned()));
    assert_eq!(page.segment.property::<String>("foreground-regions"), "1");
    assert_eq!(click(1.1, 0.5, None).await.0, 422);
    assert_eq!(click(0.5, 0.5, Some(-1e300)).await.0, 409);
}

#[tokio::test]
async fn the_state_tells_what_the_pipeline_said() {
    let page = page();
    let router = router(page.clone(), None);
    let before = state(&router).await;
    assert_eq!(
        (&before["segment"], &before["now"], &before["warnings"]),
        (&Value::Null, &Value::Null, &json!(0))
    );
    for name in ["frames", "inferred", "reused", "mask-age", "latency-p50", "latency-p99"] {
        assert_eq!(before["stats"][name], 0, "{name}");
    }
    page.note(&gst::message::Warning::new(
        gst::LibraryError::Settings,
        "no such class",
    ));
    for name in ["splitmuxsink-fragment-opened", "splitmuxsink-fragment-closed"].repeat(2) {
        let structure = gst::Structure::builder(name)
            .field("running-time", gst::ClockTime::from_mseconds(500))
            .build();
        page.note(&gst::message::Element::new(structure));
    }
    page.note(&gst::message::Eos::new());
    let after = state(&router).await;
    assert_eq!((&after["segment"], &after["segment_start"]), (&json!(0), &json!(0.5)));
    assert_eq!(
        (&after["warnings"], &after["warning"], &after["ended"]),
        (&json!(1), &json!("no such class"), &json!(true))
    );
}

#[tokio::test]
async fn a_playlist_comes_with_the_next_segment_and_at_once_when_there_is_none() {
    let page = page();
    let router = router(page.clone(), None);
    let file = page.folder.path().join(PLAYLIST);
    std::fs::write(&file, "#EXTM3U\n").unwrap();
    let mut asked = std::pin::pin!(ask(&router, "/hls/live.m3u8", None));
    tokio::select! {
        biased;
        answer = &mut asked => panic!("too early: {answer:?}"),
        () = std::future::ready(()) => {}
    }
    page.note(&gst::message::Warning::new(
        gst::LibraryError::Settings,
        "no such class",
    ));
    let closed = gst::Structure::new_empty("splitmuxsink-fragment-closed");
    std::fs::write(&file, "#EXTM3U\n#EXTINF:1,\nnext\n").unwrap();
    page.note(&gst::message::Element::new(closed));
    assert_eq!(asked.await, (200, "#EXTM3U\n#EXTINF:1,\nnext\n".to_owned()));
    page.note(&gst::message::Eos::new());
    assert_eq!(
        ask(&router, "/hls/live.m3u8", None).await,
        (200, "#EXTM3U\n#EXTINF:1,\nnext\n".to_owned())
    );
}

#[tokio::test]
async fn only_the_video_s_files_are_served() {
    let page = page();
    page.note(&gst::message::Eos::new());
    let router = router(page.clone(), None);
    std::fs::write(page.folder.path().join("live-00007.ts"), "video").unwrap();
    std::fs::write(page.folder.path().join("live-x.ts"), "secret").unwrap();
    std::fs::write(
        page.folder.path().join(PLAYLIST),
        "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:6\n#EXTINF:1,\na\n#EXTINF:1,\nb\n",
    )
    .unwrap();
    assert_eq!(
        ask(&router, "/hls/live-00007.ts", None).await,
        (200, "video".to_owned())
    );
    let (status, playlist) = ask(&router, "/hls/live.m3u8?from=7", None).await;
    assert_eq!(
        (status, playlist.as_str()),
        (200, "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:1,\nb\n")
    );
    for path in [
        "/hls/live-x.ts",
        "/hls/live-00008.ts",
        "/hls/..%2f..%2fetc%2fpasswd",
        "/hls/live-..%2f7.ts",
        "/other",
    ] {
        assert_eq!(ask(&router, path, None).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn other_machines_need_the_token_and_this_one_its_own_name() {
    let page = page();
    let open = router(page.clone(), None);
    for (host, status) in [
        ("localhost:8080", 200),
        ("127.0.0.1", 200),
        ("[::1]:8080", 200),
        ("evil.example", 421),
        ("", 421),
    ] {
        assert_eq!(ask_by(host, &open, "/state", None).await.0, status, "{host}");
    }
    let closed = router(page.clone(), Some("secret"));
    for path in ["/", "/state", "/secret", "/wrong/", "/wrong/state", "/hls/live.m3u8"] {
        let (status, text) = ask_by("camera.lan", &closed, path, None).await;
        assert_eq!(status, 403, "{path}");
        assert!(text.contains("open the whole address"), "{text}");
    }
    let set = json!({ "name": "alpha", "value": "1" });
    assert_eq!(
        ask_by("camera.lan", &closed, "/wrong/set", Some(set.clone())).await.0,
        403
    );
    assert_eq!(page.segment.property::<f64>("alpha"), 0.5);
    assert_eq!(ask_by("camera.lan", &closed, "/secret/set", Some(set)).await.0, 200);
    assert_eq!(page.segment.property::<f64>("alpha"), 1.0);
    let (status, page) = ask_by("camera.lan", &closed, "/secret/", None).await;
    assert_eq!(status, 200);
    assert!(page.contains("<title>factorseg live</title>"));
    assert_eq!(
        url("0.0.0.0:80".parse().unwrap(), Some("secret")),
        "http://0.0.0.0:80/secret/"
    );
    assert_eq!(url("127.0.0.1:80".parse().unwrap(), None), "http://127.0.0.1:80/");
}

#[tokio::test]
async fn an_offer_of_webrtc_has_its_type_and_an_answer_even_where_there_is_none() {
    let page = page();
    let router = router(page.clone(), Some("secret"));
    let offer = async |path: &str, content_type: &str| {
        let request = Request::post(path)
            .header("content-type", content_type)
            .body(Body::from("v=0"));
        let answer = router.clone().oneshot(request.unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        (status, to_bytes(answer.into_body(), 1 << 20).await.unwrap())
    };
    assert_eq!(offer("/whep", "application/sdp").await.0, 403, "past the token");
    // What another site's form or script may send unasked.
    for content_type in ["text/plain", "application/x-www-form-urlencoded"] {
        assert_eq!(offer("/secret/whep", content_type).await.0, 415, "{content_type}");
    }
    let (status, text) = offer("/secret/whep", "application/sdp").await;
    assert_eq!(status, 404);
    assert_eq!(
        text,
        "no WebRTC: the GStreamer element `whepserversink` is missing; build it"
    );
    let state: Value = serde_json::from_str(&ask(&router, "/secret/state", None).await.1).unwrap();
    assert_eq!(
        state["no_webrtc"],
        "the GStreamer element `whepserversink` is missing; build it"
    );
}
