//! The page in a real browser: Debian's chromium, headless. Skipped, loudly, where there is none.

mod common;

use std::process::Command;

#[test]
fn chromium_shows_the_run() {
    let Some(browser) = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| {
            Command::new(name)
                .arg("--version")
                .output()
                .is_ok_and(|output| output.status.success())
        })
    else {
        eprintln!("SKIPPED: no chromium here, so the page was not looked at in a browser (apt-get install chromium)");
        return;
    };
    let run = common::run();
    let address = common::serve(run.path());
    let profile = tempfile::tempdir().unwrap();
    let picture = profile.path().join("page.png");
    let look = |what: &str| {
        let output = Command::new("timeout")
            .args([
                "120",
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(["--window-size=1000,1200", "--virtual-time-budget=4000", what])
            .arg(format!("http://{address}/"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // What the page's script made of the run.
    let page = look("--dump-dom");
    for words in ["20 of 42", "0.5000", "step 20</option>", "curves.svg?"] {
        assert!(page.contains(words), "{words} is missing in {page}");
    }
    look(&format!("--screenshot={}", picture.display()));
    let picture = std::fs::read(picture).unwrap();
    assert!(
        picture.starts_with(b"\x89PNG") && picture.len() > 10_000,
        "{} bytes",
        picture.len()
    );
}
