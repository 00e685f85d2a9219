//! `factorseg serve`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use factorseg_watch::serve::Server;

/// Show a run in the browser while it goes on.
///
/// One page with the curves, the newest pictures of held-out images and the configuration. It is only read, needs nothing
/// from the network, and may be served while the trainer runs or afterwards. Ctrl-C ends it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factorseg serve runs/photos
  factorseg serve runs/photos --bind 0.0.0.0 --port 8000     (everyone who reaches this machine can look)")]
pub struct Serve {
    /// Folder of the run
    run: PathBuf,
    /// Port; 0: any that is free
    #[arg(long, default_value_t = 7007)]
    port: u16,
    /// Address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "ADDRESS")]
    bind: IpAddr,
}

impl Serve {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("factorseg-serve")
            .enable_all()
            .build()
            .context("cannot start the server's thread")?;
        runtime.block_on(async {
            let server = Server::bind(&self.run, SocketAddr::new(self.bind, self.port)).await?;
            println!("http://{}/", server.address());
            let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
                .context("cannot listen for signals")?;
            server
                .run(async move {
                    tokio::select! { _ = tokio::signal::ctrl_c() => {}, _ = terminate.recv() => {} }
                })
                .await;
            Ok(ExitCode::SUCCESS)
        })
    }
}
