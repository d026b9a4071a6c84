//! A request body that is received into memory of the application's own.

use std::any::Any;

/// Part of a request body in memory of the application's own.
#[derive(Debug)]
pub struct OwnBody {
    /// The application's object for it.
    pub object: Box<dyn Any + Send>,
    /// How many bytes were filled.
    pub length: usize,
}
