//! What sort of value an option takes, as far as a settings file cares.

use std::any::TypeId;
use std::path::PathBuf;

use clap::{Arg, ArgAction};

/// What an option's value may be written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Number,
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
