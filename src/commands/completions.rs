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
    script
}
