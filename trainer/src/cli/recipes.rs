//! `factorseg recipes`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use crate::recipe::{BUILT_IN, Recipe};

/// List the built-in training recipes, or print one to start a file from.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  factorseg recipes competition > mine.toml")]
pub struct Recipes {
    /// Recipe to print
    name: Option<String>,
}

impl Recipes {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        let Some(wanted) = self.name else {
            for (name, _) in BUILT_IN {
                let recipe = Recipe::load(name)?;
                println!(
                    "{name:16} {} steps, batch {}: {}",
                    recipe.total_steps(),
                    recipe.batch_size,
                    recipe.description
                );
            }
            return Ok(ExitCode::SUCCESS);
        };
        let Some((_, text)) = BUILT_IN.iter().find(|(name, _)| *name == wanted) else {
            bail!("no built-in recipe {wanted}; `factorseg recipes` lists them");
        };
        print!("{text}");
        Ok(ExitCode::SUCCESS)
    }
}
