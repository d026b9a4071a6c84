//! The settings as they were typed, on the command line, in the environment or in a file;
//! [`crate::config`] has their meaning.
//!
//! Every option is also an environment variable, `LOWMEM_<NAME>`, or Uvicorn's `UVICORN_<NAME>`, and
//! a setting in a file. The command line wins over `LOWMEM_`, that over `UVICORN_`, that over the
//! file.
//!
//! Each group of options is a file of its own. A first word that is one of the [`Command`]s is not
//! an application: those have a colon.
#![expect(
    rustdoc::broken_intra_doc_links,
    reason = "these comments are the text of --help, where brackets are brackets"
)]

mod application;
mod apps;
mod budget;
mod cache;
mod command;
mod compatibility;
mod definition;
mod elsewhere;
mod exec;
mod file;
mod files;
mod flags;
mod fleet;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod growth;
mod http;
mod imports;
pub mod job;
mod jobs;
mod kind;
mod limits;
mod listening;
mod logging;
mod matching;
mod migrate;
mod operation;
mod own;
mod processes;
mod proxies;
mod reading;
mod recycling;
mod reload;
mod serving;
mod settings;
mod sleeping;
mod tls;
mod trial;
mod typed;
mod values;
mod variables;
mod websocket;
mod weigh;

pub use application::{Application, InterfaceWord, LifespanWord};
pub use apps::{AppOrder, Apps, OneApp};
pub use budget::MemoryBudget;
pub use cache::{CacheAction, CacheCommand, CacheTerms, Caches};
pub use command::{Command, Shell};
pub use compatibility::Compatibility;
pub use definition::{Cli, definition};
pub use exec::Exec;
pub use file::NAMES as SETTINGS_FILES;
pub use files::Files;
pub use flags::Flags;
pub use fleet::{Application as Member, Fleet};
pub use growth::{Diagnosis, Growth, SinceWord};
pub use http::Http;
pub use imports::Imports;
pub use jobs::{Jobs, JobsAction, JobsCommand, OneJob, StartWord, Whose};
pub use limits::Limits;
pub use listening::Listening;
pub use logging::{FormatWord, LevelWord, Logging};
pub use migrate::Migrate;
pub use operation::{Asked, Control, Named, Operation, StallWord, Top};
pub use own::{Own, ShareWord};
pub use processes::Processes;
pub use proxies::{ForwardedWord, Proxies};
pub use reading::{parse, parse_settings};
pub use recycling::{RecycleWord, Recycling};
pub use reload::{PollingWord, Reload};
pub use settings::{Origin, Setting, Value};
pub use sleeping::Sleeping;
pub use tls::{CertReqsWord, Tls};
pub use trial::OnTrial;
pub use typed::Typed;
pub use variables::unknown as unknown_variables;
pub use websocket::WebSocket;
pub use weigh::Weigh;
