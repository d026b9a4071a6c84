//! `lowmem-serve apps`.

use clap::{Args, Subcommand};

use super::{Asked, Named};

/// Which server, and what about which application.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Apps {
    /// The action; without it, all applications are shown.
    #[command(subcommand)]
    pub order: Option<AppOrder>,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub asked: Asked,
}

/// The action on an application.
#[derive(Debug, Subcommand)]
pub enum AppOrder {
    /// Replace its workers with fresh ones
    Reload(OneApp),
    /// End its workers, and keep the connections, until a client sends something
    Sleep(OneApp),
    /// Start the workers of one that sleeps
    Wake(OneApp),
    /// Stop it; its places answer 503 until it is started again
    Stop(OneApp),
    /// Start it again
    Start(OneApp),
}

/// Which application of which server.
#[derive(Debug, Args)]
pub struct OneApp {
    /// Its name
    pub name: String,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub named: Named,
}
