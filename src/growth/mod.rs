//! `lowmem-serve growth`: finding workers that can be asked, asking them, and showing their answers.
//! What goes over the socket is in the base crate, as both ends know it.

pub mod ask;
pub mod find;
pub mod report;
