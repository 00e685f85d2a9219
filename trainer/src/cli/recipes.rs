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
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Recipes {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        let Some(wanted) = self.name else {
            for (name, _) in BUILT_IN {
                let recipe = Recipe::load(name)?;
                if self.json {
                    println!("{}", serde_json::to_string(&recipe)?);
                    continue;
                }
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
        if self.json {
            println!("{}", serde_json::to_string(&Recipe::load(&wanted)?)?);
        } else {
            print!("{text}");
        }
        Ok(ExitCode::SUCCESS)
    }
}
