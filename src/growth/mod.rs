//! `lowmem-serve growth`: finding workers that can be asked, asking them, and showing their answers.
//! The messages on the socket are defined in the base crate, as both ends use them.

pub mod ask;
pub mod find;
pub mod report;
