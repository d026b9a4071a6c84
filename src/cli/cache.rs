//! `--cache-dir`, `--cache`, and `lowmem-serve cache`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Subcommand};

use super::values;

/// Options about the cache on disk.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cache on disk")]
pub struct Caches {
    /// Where lowmem_serve.cache keeps its files [default: $CACHE_DIRECTORY, else lowmem-serve in $XDG_CACHE_HOME or
    /// ~/.cache]
    #[arg(long, value_name = "DIRECTORY", env = "LOWMEM_CACHE_DIR")]
    pub cache_dir: Option<PathBuf>,
    /// The size of one cache and how long its values live, repeatable, in place of what the application says:
    /// pages=256M or pages=256M,1h
    #[arg(long = "cache", value_name = "NAME=SIZE[,TTL]", env = "LOWMEM_CACHE")]
    #[arg(action = ArgAction::Append, value_parser = parse)]
    pub caches: Vec<CacheTerms>,
}

/// The setting of one cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheTerms {
    /// Its name.
    pub name: String,
    /// Bytes that it may take of the disk.
    pub size: Option<u64>,
    /// How long a value lives.
    pub ttl: Option<Duration>,
}

pub(super) fn parse(text: &str) -> Result<CacheTerms, String> {
    let form = || "a cache's terms are like pages=256M or pages=256M,1h".to_owned();
    let (name, terms) = text.split_once('=').ok_or_else(form)?;
    if name.is_empty() {
        return Err(form());
    }
    let (size, ttl) = match terms.split_once(',') {
        Some((size, ttl)) => (size, Some(ttl)),
        None => (terms, None),
    };
    if size.is_empty() && ttl.is_none() {
        return Err(form());
    }
    let size = Some(size).filter(|size| !size.is_empty());
    Ok(CacheTerms {
        name: name.to_owned(),
        size: size.map(values::bytes).transpose()?,
        ttl: ttl.map(values::lifetime).transpose()?,
    })
}

/// `lowmem-serve cache`.
#[derive(Debug, Args)]
pub struct CacheCommand {
    /// The action [default: stats]
    #[command(subcommand)]
    pub action: Option<CacheAction>,
    /// Where the caches are [default: as for the server]
    #[arg(
        long,
        value_name = "DIRECTORY",
        env = "LOWMEM_CACHE_DIR",
        global = true
    )]
    pub cache_dir: Option<PathBuf>,
}

/// The action of `lowmem-serve cache`.
#[derive(Debug, Subcommand)]
pub enum CacheAction {
    /// Show what each cache holds and takes of the disk
    Stats {
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Empty a cache
    Clear {
        /// Its name
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_have_a_size_or_a_time_or_both() {
        let terms = |size, ttl| CacheTerms {
            name: "p".to_owned(),
            size,
            ttl,
        };
        let hour = Some(Duration::from_secs(3600));
        assert_eq!(parse("p=1M").unwrap(), terms(Some(1 << 20), None));
        assert_eq!(parse("p=1M,1h").unwrap(), terms(Some(1 << 20), hour));
        assert_eq!(parse("p=,1h").unwrap(), terms(None, hour));
        for wrong in ["p", "=1M", "p=", "p=much", "p=1M,soon"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
