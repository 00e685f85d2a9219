//! A run's folder and a server for it.
#![allow(dead_code, reason = "each test file uses some of them")]

use std::net::SocketAddr;
use std::path::Path;

use factorseg_watch::serve::Server;

/// Serves the run for as long as the test runs.
pub fn serve(run: &Path) -> SocketAddr {
    let (sender, receiver) = std::sync::mpsc::channel();
    let run = run.to_owned();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let server = Server::bind(&run, "127.0.0.1:0".parse().unwrap()).await.unwrap();
            sender.send(server.address()).unwrap();
            server.run(std::future::pending()).await;
        });
    });
    receiver.recv().unwrap()
}

pub fn run() -> tempfile::TempDir {
    let run = tempfile::tempdir().unwrap();
    std::fs::create_dir(run.path().join("samples")).unwrap();
    std::fs::write(
        run.path().join("config.json"),
        r#"{"recipe":{"phases":[{"steps":30},{"steps":12}]}}"#,
    )
    .unwrap();
    let line = r#"{"kind":"train","step":20,"phase":"a","loss":0.5,"images_per_second":9.5,"input_wait":0.0}"#;
    std::fs::write(run.path().join("metrics.jsonl"), format!("{line}\n")).unwrap();
    std::fs::write(run.path().join("samples/step-000000020.png"), b"a picture").unwrap();
    std::fs::write(run.path().join("samples/notes.txt"), b"private").unwrap();
    run
}
