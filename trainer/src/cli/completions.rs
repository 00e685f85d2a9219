//! `factorseg completions`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use clap_complete::Shell;

/// Print what makes a shell complete commands, options and their values.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  factorseg completions bash > ~/.local/share/bash-completion/completions/factorseg
  factorseg completions zsh > \"${fpath[1]}/_factorseg\"")]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Runs the command, for `program`.
    pub fn run(self, program: &mut clap::Command) -> Result<ExitCode> {
        clap_complete::generate(self.shell, program, "factorseg", &mut std::io::stdout());
        Ok(ExitCode::SUCCESS)
    }
}
