//! `lowmem-serve man`: one page, with the commands and their options in it.

use std::io::{self, Write};

use clap::Command;
use clap_mangen::Man;

use crate::cli;

/// The man page of the server and its commands, as roff.
pub(super) fn page() -> Vec<u8> {
    let mut page = Vec::new();
    // Writing into memory does not fail.
    let _ = render(&mut page);
    page
}

fn render(page: &mut Vec<u8>) -> io::Result<()> {
    let definition = cli::definition();
    let man = Man::new(definition.clone());
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_options_section(page)?;
    for command in definition.get_subcommands() {
        render_command(command, page)?;
    }
    let extra = section(|extra| man.render_extra_section(extra))?;
    page.write_all(extra.replacen("EXTRA", "EXIT STATUS", 1).as_bytes())?;
    man.render_version_section(page)
}

/// The commands that take the options of the server, which the page has once.
const OF_THE_SERVER: [&str; 3] = ["config", "dev", "run"];

/// The description of a command, and its own options.
fn render_command(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let name = format!("lowmem\\-serve {}", command.get_name());
    writeln!(page, ".SH \"{name}\"")?;
    let about = command.get_about().map(ToString::to_string);
    writeln!(page, "{}", about.unwrap_or_default())?;
    if OF_THE_SERVER.contains(&command.get_name()) {
        return Ok(());
    }
    let options = section(|options| Man::new(command.clone()).render_options_section(options))?;
    let mut without_heading = options.lines().filter(|line| *line != ".SH OPTIONS");
    without_heading.try_for_each(|line| writeln!(page, "{line}"))
}

fn section(render: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<String> {
    let mut section = Vec::new();
    render(&mut section)?;
    Ok(String::from_utf8_lossy(&section).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_commands_options_and_names_no_other_page() {
        let page = String::from_utf8(page()).unwrap().replace("\\-", "-");
        for part in [
            ".SH \"lowmem-serve weigh\"",
            "--budget",
            "--at-least",
            "--since",
            "EXIT STATUS",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("lowmem-serve-weigh"));
        assert_eq!(page.matches("--max-rss").count(), 2, "synopsis and options");
    }
}
