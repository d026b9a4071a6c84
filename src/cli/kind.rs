//! Which options are settings, and what sort of value each takes.

use std::any::TypeId;
use std::path::PathBuf;

use clap::{Arg, ArgAction};

/// Whether an option can be set in a file: a file does not name another one, and `--no-x` is
/// `x = false`.
pub(super) fn is_setting(arg: &Arg) -> bool {
    let is_negation = arg.get_long().is_some_and(|long| long.starts_with("no-"));
    arg.get_id() != "config" && !is_negation
}

/// The form of an option's value in a settings file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Number,
    /// A file's mode, octal.
    Mode,
    /// A text.
    Text,
    /// A number, or a text with a unit.
    Quantity,
    /// Several texts.
    List,
}

impl Kind {
    pub(super) fn of(arg: &Arg) -> Self {
        let holds = |one: TypeId| arg.get_value_parser().type_id() == one;
        let one_of = |all: &[TypeId]| all.iter().any(|one| holds(*one));
        match arg.get_action() {
            ArgAction::Append => Self::List,
            _ if arg.get_id() == "uds_mode" => Self::Mode,
            _ if holds(TypeId::of::<bool>()) => Self::Boolean,
            _ if one_of(&[
                TypeId::of::<u16>(),
                TypeId::of::<u32>(),
                TypeId::of::<i32>(),
                TypeId::of::<usize>(),
            ]) =>
            {
                Self::Number
            }
            _ if one_of(&[TypeId::of::<String>(), TypeId::of::<PathBuf>()]) => Self::Text,
            _ if arg.get_possible_values().is_empty() => Self::Quantity,
            _ => Self::Text,
        }
    }
}
