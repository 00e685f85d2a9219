//! `factorseg-pipeline`: see [`factorseg_pipelines::cli`].

fn main() -> std::process::ExitCode {
    factorseg_pipelines::cli::main()
}
