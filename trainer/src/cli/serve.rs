//! `factorseg serve`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
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
  factorseg serve runs/photos --bind 0.0.0.0:8000            (everyone who reaches this machine can look)")]
pub struct Serve {
    /// Folder of the run
    run: PathBuf,
    /// Port; 0: any that is free [default: 7007]
    #[arg(long)]
    port: Option<u16>,
    /// Address to listen on, with its port or without
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS[:PORT]", value_parser = bind)]
    bind: (IpAddr, Option<u16>),
}

const PORT: u16 = 7007;

fn bind(text: &str) -> Result<(IpAddr, Option<u16>), String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok((address.ip(), Some(address.port())));
    }
    let address = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    match address.parse() {
        Ok(address) => Ok((address, None)),
        Err(_) => Err("expected an address such as 127.0.0.1, 0.0.0.0:8000 or [::1]:8000".to_owned()),
    }
}

impl Serve {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        let (address, port) = self.bind;
        ensure!(
            self.port.is_none() || port.is_none(),
            "--bind names a port; leave out --port"
        );
        let address = SocketAddr::new(address, port.or(self.port).unwrap_or(PORT));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("factorseg-serve")
            .enable_all()
            .build()
            .context("cannot start the server's thread")?;
        runtime.block_on(async {
            let server = Server::bind(&self.run, address).await?;
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

#[cfg(test)]
mod tests;
