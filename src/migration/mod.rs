//! Other servers: what their command lines and files say, in this server's words.
//!
//! Pure but for [`python`], which runs a configuration that is a program. It knows the flags of this server
//! by their names only; that every name is one, a test of the commands sees to.

mod command;
mod direct;
mod effect;
mod files;
mod items;
mod made;
mod placeholders;
mod python;
mod servers;
mod words;

pub use command::{Command, of_line, of_words};
pub use direct::{Direct, direct};
pub use effect::{Effect, Note, Weight};
pub use files::{Content, Found, in_file};
pub use items::{Item, ReadSettings};
pub use placeholders::{Setting, settings};
pub use python::{PythonSetting, read as read_python};
pub use servers::Server;
pub use words::{Word, quoted, split};
