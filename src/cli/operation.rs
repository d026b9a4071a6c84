//! `--operator-socket`, `lowmem-serve status` and `lowmem-serve ctl`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::values;
use crate::operator::find::Target;

/// Options about what runs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Operation")]
pub struct Operation {
    /// Where `lowmem-serve status` and `ctl` reach the server; `off` for none [default:
    /// lowmem-serve/PID.sock in $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR, /run, or in /tmp/lowmem-serve-UID]
    #[arg(long, value_name = "PATH|off", env = "LOWMEM_OPERATOR_SOCKET")]
    pub operator_socket: Option<PathBuf>,
    /// Serve metrics, probes and a page at HOST:PORT or unix:PATH
    #[arg(long, value_name = "PLACE", env = "LOWMEM_STATUS_BIND")]
    pub status_bind: Option<String>,
    /// Let the page recycle, add and remove workers, with the token in this file
    #[arg(long, value_name = "FILE", env = "LOWMEM_STATUS_CONTROL")]
    pub status_control: Option<PathBuf>,
    /// Seconds without a turn of its event loop, or of its busy WSGI threads, after which a worker is stalled:
    /// the stacks of its threads are logged [default: none]
    #[arg(long, value_name = "S", value_parser = values::seconds)]
    #[arg(env = "LOWMEM_TIMEOUT_WORKER_STALL")]
    pub timeout_worker_stall: Option<Duration>,
    /// The action on a stalled worker
    #[arg(
        long,
        value_name = "ACTION",
        default_value = "tell",
        env = "LOWMEM_STALL_ACTION"
    )]
    pub stall_action: StallWord,
}

/// The action on a stalled worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StallWord {
    /// Log the stacks of its threads
    Tell,
    /// Replace it, too
    Recycle,
}

/// Which server.
#[derive(Debug, Args)]
pub struct Named {
    /// A server, or one of its workers: its pid, the address that it serves (localhost:8000), or the
    /// path of its operator socket
    #[arg(value_name = "PID|ADDRESS|PATH")]
    pub target: Option<Target>,
}

/// Which servers, and how they are shown.
#[derive(Debug, Args)]
pub struct Asked {
    #[command(flatten)]
    #[expect(missing_docs)]
    pub named: Named,
    /// Write JSON (docs/status.md)
    #[arg(long)]
    pub json: bool,
}

/// Which servers, and how often they are looked at.
#[derive(Debug, Args)]
pub struct Top {
    #[command(flatten)]
    #[expect(missing_docs)]
    pub named: Named,
    /// Seconds between two looks
    #[arg(long, short = 'd', value_name = "S", default_value = "1", value_parser = values::seconds)]
    pub delay: Duration,
    /// Look twice and write the second to stdout, which needs no terminal
    #[arg(long)]
    pub once: bool,
}

/// An order to a server.
#[derive(Debug, Subcommand)]
pub enum Control {
    /// Replace every worker with a fresh one, as SIGHUP does
    Recycle {
        #[command(flatten)]
        #[expect(missing_docs)]
        named: Named,
    },
    /// Let the application sleep: its workers end, and the next request starts others
    Sleep {
        #[command(flatten)]
        #[expect(missing_docs)]
        named: Named,
    },
    /// Wake an application that sleeps
    Wake {
        #[command(flatten)]
        #[expect(missing_docs)]
        named: Named,
    },
    /// Add (+1) or remove (-1) workers
    Workers {
        /// The difference: +1, -2
        #[arg(value_name = "+N|-N", value_parser = change, allow_hyphen_values = true)]
        change: i16,
        #[command(flatten)]
        #[expect(missing_docs)]
        named: Named,
    },
}

fn change(text: &str) -> Result<i16, String> {
    let has_sign = text.starts_with(['+', '-']);
    let number = text.parse().ok().filter(|number| has_sign && *number != 0);
    number.ok_or_else(|| "not a number with its sign like +1 or -1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_has_a_sign() {
        assert_eq!((change("+1"), change("-2")), (Ok(1), Ok(-2)));
        for wrong in ["1", "0", "+0", "+", "", "+x", "+99999"] {
            assert!(change(wrong).is_err(), "{wrong}");
        }
    }
}
