use super::*;
use anyhow::Context;

#[derive(Debug, thiserror::Error)]
#[error("cannot flush run: {source}; free some space")]
struct Flush {
    source: std::io::Error,
}

#[test]
fn causes_are_said_once() {
    let source = std::io::Error::from_raw_os_error(22);
    let error = Err::<(), _>(Flush { source }).context("step 5 failed").unwrap_err();
    assert_eq!(
        explain(&error),
        "step 5 failed: cannot flush run: Invalid argument (os error 22); free some space"
    );
}

#[test]
fn the_command_line_is_well_formed_and_lists_its_words() {
    let mut program = Program::command();
    program.clone().debug_assert();
    for (command, option, word) in [("train", "preset", "paper-64"), ("resume", "precision", "bf16")] {
        let command = program.find_subcommand_mut(command).unwrap();
        let option = command.get_arguments().find(|one| one.get_id() == option).unwrap();
        assert!(option.get_possible_values().iter().any(|one| one.get_name() == word));
    }
}
