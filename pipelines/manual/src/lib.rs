//! Manual pages and shell completions of a program, made from its command line.

use std::io;
use std::path::PathBuf;

use clap::Args;
use clap_complete::{Generator, Shell};

/// Where each shell looks for completions, below the prefix.
const SHELLS: [(Shell, &str); 3] = [
    (Shell::Bash, "share/bash-completion/completions"),
    (Shell::Zsh, "share/zsh/site-functions"),
    (Shell::Fish, "share/fish/vendor_completions.d"),
];

/// Write the manual pages, and completions for bash, zsh and fish
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  for the user alone, after `cargo install`: --prefix ~/.local")]
pub struct Manual {
    /// The folder that holds share/
    #[arg(long, value_name = "FOLDER")]
    prefix: PathBuf,
}

impl Manual {
    /// Writes one page for `program` and one for each of its commands, and a file for each shell.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(self, mut program: clap::Command) -> io::Result<()> {
        let name = program.get_name().to_owned();
        for (shell, folder) in SHELLS {
            let folder = self.prefix.join(folder);
            std::fs::create_dir_all(&folder)?;
            // Bash looks for the program's bare name.
            let file = match shell {
                Shell::Bash => folder.join(&name),
                _ => folder.join(shell.file_name(&name)),
            };
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut program, &name, &mut script);
            std::fs::write(file, script)?;
        }
        let pages = self.prefix.join("share/man/man1");
        std::fs::create_dir_all(&pages)?;
        // `help` has nothing of its own to say.
        clap_mangen::generate_to(program.disable_help_subcommand(true), pages)
    }
}
