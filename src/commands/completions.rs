//! `lowmem-serve completions SHELL`.

use clap_complete::{Shell as Generator, generate};

use crate::cli::{self, Shell};

/// The script that a shell reads to complete our command line.
pub(super) fn script(shell: Shell) -> Vec<u8> {
    let generator = match shell {
        Shell::Bash => Generator::Bash,
        Shell::Zsh => Generator::Zsh,
        Shell::Fish => Generator::Fish,
    };
    let mut script = Vec::new();
    generate(
        generator,
        &mut cli::definition(),
        "lowmem-serve",
        &mut script,
    );
    match shell {
        Shell::Fish => with_own_conditions(&String::from_utf8_lossy(&script)).into_bytes(),
        Shell::Bash | Shell::Zsh => script,
    }
}

/// The generated conditions take the application for a command, after which no flag is offered, and
/// fail where a flag waits for its value.
fn with_own_conditions(fish: &str) -> String {
    let (_, completions) = fish.split_once("\ncomplete ").unwrap_or(("", fish));
    let commands: Vec<_> = cli::definition()
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    format!(
        "\
# A command is one only as the first word.
function __fish_lowmem_serve_needs_command
    set -l words (commandline -opc)
    not contains -- \"$words[2]\" {}
end

function __fish_lowmem_serve_using_subcommand
    set -l words (commandline -opc)
    contains -- \"$words[2]\" $argv
end

complete {completions}",
        commands.join(" ")
    )
}
