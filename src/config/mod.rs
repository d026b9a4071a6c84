//! What the flags mean, after all mistakes in them have been reported together.

mod worker;

pub use worker::{BoundListener, Lifespan, LogFormat, LogLevel, LogSettings, Loop, WorkerConfig};
