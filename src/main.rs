//! The executable: reads argv and the environment, decides, and exits.

fn main() {}
